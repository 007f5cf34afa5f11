"""One API with its rows, and clients that hold tokens of the development identity."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import event
from werkzeug.test import TestResponse

import config
from api.app import create_app
from api.context import EXTENSION, Services
from api.operations import Operations
from api.tokens import DevelopmentTokens
from models import Base, Database, Datastore, DatastoreVersion, FlavorRow, Instance, InstanceState, OperationRow, QuotaUsage
from models.base import new_id
from security import keyring
from tests.api.temporal import Temporal

CANARY = "c4nary-Passw0rd"
"""Every secret that tests send has this in it."""

PROJECTS = {"alpha": "a" * 32, "beta": "b" * 32, "admin": "d" * 32}
PASSWORDS = {name: f"login-{name}-{CANARY}" for name in PROJECTS}
MARIADB, OLD_MARIADB, REDIS = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222", "3" * 36


def configured(directory: Path, database: str = "sqlite://", **api: Any) -> Path:
    """The configuration file of an API in `directory`."""
    keyring.create(directory / "keyring.json")
    users = [
        {
            "id": f"user-{name}",
            "name": name,
            "password": PASSWORDS[name],
            "project_id": project_id,
            "roles": ["admin" if name == "admin" else "member"],
        }
        for name, project_id in PROJECTS.items()
    ]
    identity = {"projects": [{"id": id, "name": f"project-{name}"} for name, id in PROJECTS.items()], "users": users}
    (directory / "identity.json").write_text(json.dumps(identity))
    options = "\n".join(f"{name} = {value}" for name, value in {"page_size": 20, "guest_deadline": 0.3, **api}.items())
    path = directory / "coffer.conf"
    path.write_text(
        f"[database]\nconnection = {database}\n[secrets]\nkeyring_file = {directory}/keyring.json\n"
        f"[auth]\nidentity_file = {directory}/identity.json\n[api]\n{options}\n"
        "[quota]\ninstances = 5\nvolumes = 40\n"
    )
    return path


def seed(database: Database) -> None:
    """Datastores and flavors."""
    with database.write() as s:
        mariadb = Datastore(id="ds-mariadb", name="mariadb", default_version_id=MARIADB)
        redis = Datastore(id="ds-redis", name="redis", default_version_id=REDIS)
        empty = Datastore(id="ds-empty", name="empty")
        s.add_all([mariadb, redis, empty])
        s.flush()
        s.add(DatastoreVersion(id=MARIADB, datastore_id=mariadb.id, name="10.11", version="10.11", manager="mariadb"))
        s.add(
            DatastoreVersion(
                id=OLD_MARIADB, datastore_id=mariadb.id, name="10.3", version="10.3", manager="mariadb", active=False
            )
        )
        s.add(DatastoreVersion(id=REDIS, datastore_id=redis.id, name="7.0", version="7.0", manager="redis"))
        s.add(FlavorRow(id="1", name="tiny", ram_mb=512, vcpus=1, disk_gb=1))
        s.add(FlavorRow(id="db.small", name="small", ram_mb=1024, vcpus=1, disk_gb=2))


class Asker:
    """A client with one user's token; paths are below the user's project."""

    def __init__(self, stand: "Stand", name: str) -> None:
        directory = stand.tokens.directory
        user = directory.users()[f"user-{name}"]
        self.project_id = user.project.id
        self.token, _ = stand.tokens.issue(user, user.project)
        self._client = stand.app.test_client()

    def ask(self, method: str, path: str, body: Any = None, **kwargs: Any) -> TestResponse:
        headers = {"X-Auth-Token": self.token, **kwargs.pop("headers", {})}
        url = path if path.startswith("http") else f"/v1.0/{self.project_id}{path}"
        sent = {"json": body} if body is not None else {}
        return self._client.open(url, method=method, headers=headers, **sent, **kwargs)

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        return self.ask("GET", path, **kwargs)

    def post(self, path: str, body: Any = None, **kwargs: Any) -> TestResponse:
        return self.ask("POST", path, body, **kwargs)

    def put(self, path: str, body: Any = None, **kwargs: Any) -> TestResponse:
        return self.ask("PUT", path, body, **kwargs)

    def patch(self, path: str, body: Any = None, **kwargs: Any) -> TestResponse:
        return self.ask("PATCH", path, body, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> TestResponse:
        return self.ask("DELETE", path, **kwargs)

    def create(self, **fields: Any) -> TestResponse:
        instance = {"name": "db", "flavorRef": "1", "volume": {"size": 1}, "datastore": {"type": "mariadb"}, **fields}
        return self.post("/instances", {"instance": {k: v for k, v in instance.items() if v is not ...}})


class Plant:
    """What tests share: an application, and a database file with datastores and flavors to copy."""

    def __init__(self, config_file: Path) -> None:
        self.directory = config_file.parent
        self.conf = config.load(config_file)
        self.template = self.directory / "template.db"
        database = Database(f"sqlite:///{self.template}")
        Base.metadata.create_all(database.engine)
        seed(database)
        database.close()
        self.app = create_app(self.conf)

    def stand(self, directory: Path) -> "Stand":
        return Stand(self, Database(f"sqlite:///{shutil.copy(self.template, directory / 'coffer.db')}"))


class Stand:
    """The application with rows and a Temporal of its own."""

    def __init__(self, plant: Plant, database: Database) -> None:
        self.conf, self.app, self.database = plant.conf, plant.app, database
        parts: Services = self.app.extensions[EXTENSION]
        self.vault, self.tokens = parts.vault, cast(DevelopmentTokens, parts.tokens)
        self.temporal = Temporal(self.database, self.vault)
        self.operations = Operations(self.database, self.temporal)  # type: ignore[arg-type]
        self.app.extensions[EXTENSION] = dataclasses.replace(parts, database=self.database, operations=self.operations)
        self.alpha, self.beta, self.admin = (Asker(self, name) for name in PROJECTS)
        self.known: dict[str, str] = {}

    def close(self) -> None:
        self.database.close()

    def ready(self, asker: Asker | None = None, **fields: Any) -> str:
        """An instance that is ACTIVE."""
        instance_id: str = (asker or self.alpha).create(**fields).json["instance"]["id"]
        self.built(instance_id)
        return instance_id

    def built(self, instance_id: str) -> None:
        with self.database.write() as s:
            instance = s.get_one(Instance, instance_id)
            instance.server_key, instance.management_address = "server", "127.0.0.9"
            instance.addresses = [{"address": "127.0.0.9", "type": "private", "network": None}]
        [run] = [run for run in self.temporal.of("InstanceCreate") if run.op.instance_id == instance_id]
        self.temporal.finish(run)

    def instance(self, instance_id: str) -> Instance:
        with self.database.read() as s:
            return s.get_one(Instance, instance_id)

    def set(self, instance_id: str, **values: Any) -> None:
        with self.database.write() as s:
            instance = s.get_one(Instance, instance_id)
            for name, value in values.items():
                setattr(instance, name, value)

    def operation(self, operation_id: str) -> OperationRow:
        with self.database.read() as s:
            return s.get_one(OperationRow, operation_id)

    def used(self, project_id: str, resource: str = "instances") -> int:
        with self.database.read() as s:
            row = s.get(QuotaUsage, (project_id, resource))
            return row.in_use if row else 0

    def many(self, count: int, project_id: str) -> list[str]:
        """Rows of instances, made without the API."""
        ids = [new_id() for _ in range(count)]
        with self.database.write() as s:
            for number, id in enumerate(ids):
                s.add(
                    Instance(
                        id=id,
                        project_id=project_id,
                        name=f"db-{number}",
                        state=InstanceState.READY,
                        flavor_id="1",
                        volume_size=1,
                        datastore_version_id=MARIADB,
                        addresses=[{"address": "127.0.0.9", "type": "private", "network": None}],
                        server_key="server",
                    )
                )
        return ids

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The SQL that is sent meanwhile."""
        sent: list[str] = []

        def heard(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            sent.append(statement)

        event.listen(self.database.engine, "before_cursor_execute", heard)
        try:
            yield sent
        finally:
            event.remove(self.database.engine, "before_cursor_execute", heard)
