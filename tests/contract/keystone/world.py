"""A Keystone with the users alice, bob, admin and dbaas, asked over its own API; and an API of ours that asks it."""

import dataclasses
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
import yaml
from flask import Flask

import config
from api.app import create_app
from models import Base, Database
from tests.api.messaging.post_office import start_counters
from tests.api.stand import configured, seed
from tests.contract.keystone.standin import PASSWORD, USERS

WITHIN = 20


@dataclass(frozen=True)
class Login:
    """A token as it was issued."""

    token: str
    body: dict[str, Any]

    @property
    def project_id(self) -> str:
        return str(self.body["project"]["id"])


@dataclass(frozen=True)
class Keystone:
    auth_url: str
    users: dict[str, dict[str, str]]
    """What clouds.yaml says under `auth`, by the user's name."""

    def login(self, user: str, scope: Any = ...) -> Login:
        who = self.users[user]
        domain = {"name": who["user_domain_name"]}
        identity = {
            "methods": ["password"],
            "password": {"user": {"name": user, "domain": domain, "password": who["password"]}},
        }
        ours = {"project": {"name": who["project_name"], "domain": {"name": who["project_domain_name"]}}}
        return self._issue({"identity": identity, "scope": ours if scope is ... else scope})

    def system(self) -> Login:
        return self.login("admin", {"system": {"all": True}})

    def credential(self, user: str, seconds: float = 600, **wanted: Any) -> Login:
        """A token of a new application credential, which ends with it after some seconds."""
        who, until = self.login(user), datetime.now(UTC) + timedelta(seconds=seconds)
        wanted |= {"name": f"contract-{uuid.uuid4()}", "expires_at": until.strftime("%Y-%m-%dT%H:%M:%S.%f")}
        body = {"application_credential": wanted}
        path = f"/users/{who.body['user']['id']}/application_credentials"
        made = self._call("POST", path, who.token, body).json()["application_credential"]
        method = {"id": made["id"], "secret": made["secret"]}
        return self._issue({"identity": {"methods": ["application_credential"], "application_credential": method}})

    @contextmanager
    def cataloged(self, *types: str) -> Iterator[None]:
        """The catalog has services of these types, with an endpoint each, for the length of the block."""
        token, made = self.login("admin").token, []
        for type in types:
            service = self._call("POST", "/services", token, {"service": {"type": type, "name": "contract"}}).json()["service"]
            made.append(service["id"])
            endpoint = {"service_id": service["id"], "interface": "public", "url": "http://127.0.0.1:1"}
            self._call("POST", "/endpoints", token, {"endpoint": endpoint})
        try:
            yield
        finally:
            for id in made:
                self._call("DELETE", f"/services/{id}", token)

    def revoke(self, login: Login) -> None:
        self._call("DELETE", "/auth/tokens", login.token, subject=login.token)

    def _issue(self, auth: dict[str, Any]) -> Login:
        answer = self._call("POST", "/auth/tokens", body={"auth": auth})
        return Login(answer.headers["X-Subject-Token"], answer.json()["token"])

    def _call(self, method: str, path: str, token: str = "", body: Any = None, subject: str = "") -> requests.Response:
        headers = {"X-Auth-Token": token} | ({"X-Subject-Token": subject} if subject else {})
        answer = requests.request(method, self.auth_url + path, json=body, headers=headers, timeout=WITHIN)
        answer.raise_for_status()
        return answer


def of_clouds(path: Path) -> Keystone:
    clouds = yaml.safe_load(path.read_text())["clouds"].values()
    users = {cloud["auth"]["username"]: cloud["auth"] for cloud in clouds}
    return Keystone(users["dbaas"]["auth_url"], users)


def of_stand_in(auth_url: str) -> Keystone:
    domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
    users = {
        name: {"auth_url": auth_url, "username": name, "password": PASSWORD, "project_name": project, **domains}
        for name, (project, _) in USERS.items()
    }
    return Keystone(auth_url, users)


def config_file(directory: Path, keystone: Keystone, database: str, **options: str) -> Path:
    """That of an API whose tokens are Keystone's; `options` are for [keystone_authtoken]."""
    path = configured(directory, database)
    service = {**keystone.users["dbaas"], "auth_url": keystone.auth_url, "interface": "public"}
    sections = {"service_credentials": service, "keystone_authtoken": options, "temporal": {"address": "127.0.0.1:1"}}
    said = "".join(f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in many.items()) for name, many in sections.items())
    path.write_text(path.read_text().replace("[auth]\n", "[auth]\nstrategy = keystone\n") + said)
    return path


@contextmanager
def api_of(directory: Path, keystone: Keystone, **options: str) -> Iterator[Flask]:
    url = f"sqlite:///{directory}/coffer.db"
    database = Database(url)
    Base.metadata.create_all(database.engine)
    seed(database)
    start_counters(database)
    try:
        yield create_app(config.load(config_file(directory, keystone, url, **options)), database)
    finally:
        database.close()


def with_password(keystone: Keystone, password: str) -> Keystone:
    """The same, to a service that has the wrong one."""
    return dataclasses.replace(keystone, users=keystone.users | {"dbaas": keystone.users["dbaas"] | {"password": password}})
