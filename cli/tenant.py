"""What a tenant does over REST: create a database instance, restart it, delete it, and wait for each by its operation."""

import secrets
import time
from dataclasses import dataclass
from typing import Any

from cli.engines import Engine, Login
from cli.errors import CliError
from cli.rest import NOT_FOUND, Api, ApiError

DATABASE = "shop"
USER = "ada"
FLAVOR = "1"
POLL = 0.1
DELETED_WITHIN = 120.0


@dataclass(frozen=True)
class Instance:
    id: str
    login: Login


class Tenant:
    def __init__(self, api: Api) -> None:
        self.api = api

    def create(self, name: str, engine: Engine) -> tuple[str, str]:
        """Ask for an instance.  Gives its id and the password of its user."""
        password = secrets.token_urlsafe(15)
        body: dict[str, Any] = {
            "name": name,
            "flavorRef": FLAVOR,
            "volume": {"size": 1},
            "datastore": {"type": engine.datastore, "version": engine.version},
            "users": [{"name": USER, "password": password}],
        }
        if engine.has_databases:
            body["databases"] = [{"name": DATABASE}]
            body["users"][0]["databases"] = [{"name": DATABASE}]
        made = self.api.post("/instances", {"instance": body})
        return str(made["instance"]["id"]), password

    def restart(self, instance_id: str) -> None:
        self.api.post(f"/instances/{instance_id}/action", {"restart": {}})

    def show(self, instance_id: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.api.get(f"/instances/{instance_id}")["instance"]
        except ApiError as e:
            if e.status == NOT_FOUND:
                return None
            raise
        return found

    def delete(self, instance_id: str) -> None:
        """Until it is gone."""
        self.api.delete(f"/instances/{instance_id}")
        deadline = time.monotonic() + DELETED_WITHIN
        while self.show(instance_id) is not None:
            if time.monotonic() > deadline:
                raise CliError(f"instance {instance_id} is still there after {DELETED_WITHIN:.0f} s")
            time.sleep(POLL)

    def operation(self, instance_id: str, kind: str) -> dict[str, Any]:
        """The newest operation of this kind on the instance."""
        for operation in self.api.get(f"/operations?instance_id={instance_id}")["operations"]:
            if operation["kind"] == kind:
                found: dict[str, Any] = operation
                return found
        raise CliError(f"the API knows of no {kind} of instance {instance_id}")

    def instance(self, instance_id: str, password: str) -> Instance:
        """Where a built instance answers.  Raises CliError when it is not there to be used."""
        shown = self.show(instance_id)
        if shown is None or shown["status"] != "ACTIVE":
            raise CliError(f"instance {instance_id} is {shown['status'] if shown else 'gone'}: {_fault(shown)}")
        return Instance(instance_id, Login(shown["ip"][0], USER, password, DATABASE))


def check_done(api: Api, operation: dict[str, Any]) -> None:
    """Raise CliError for an operation that ended in any other way."""
    if operation["state"] != "DONE":
        error = (operation["error"] or {}).get("message", "it says no reason")
        raise CliError(f"{operation['kind']} is {operation['state']}: {error}", api.command(f"operation show {operation['id']}"))


def _fault(shown: dict[str, Any] | None) -> str:
    return str(((shown or {}).get("fault") or {}).get("message", "no fault is given"))
