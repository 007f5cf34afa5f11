"""What a state directory holds before the first process starts: configuration, keys, users, schema, catalogue.

Everything here may run again: what exists is kept, what depends on ports is written anew.
"""

import io
import json
import secrets
import uuid
from dataclasses import dataclass

import yaml

from cli import catalog, schema
from cli.addresses import api_url, read_config, temporal_address, ui_url
from cli.ports import Ports
from cli.statedir import StateDir, read_json, write_private
from messaging.service import Messaging
from migrations import runner
from models import Database
from security import keyring

REGION = "RegionOne"
POOL = "default"
HEADER = (
    "# Written by `coffer up`, which sets addresses and paths anew each time; every other option that is added here stays.\n\n"
)


@dataclass(frozen=True)
class User:
    name: str
    project: str
    roles: tuple[str, ...]


USERS = (
    User("coffer", "coffer", ("member", "reader")),
    User("coffer-admin", "coffer", ("admin", "member", "reader")),
    User("coffer-other", "coffer-other", ("member", "reader")),
)


def prepare(state: StateDir, host: str, ports: Ports) -> None:
    state.make()
    write_config(state, host, ports)
    keys = keyring.create(state.keyring)
    write_identity(state)
    write_clouds(state, host, ports)
    url = database_url(state)
    with schema.failures_told(too_new=f"or begin anew: {state.command('down --purge')}"):
        runner.upgrade(url)
    state.database.chmod(0o600)
    database = Database(url)
    try:
        catalog.seed(database)
        make_pool(state, database, keys)
    finally:
        database.close()


def make_pool(state: StateDir, database: Database, keys: keyring.Keyring) -> None:
    """Messages have a place from the beginning: guests report through them.  Pools that an administrator has registered are enough."""
    messaging = Messaging(database, keys)
    try:
        if not messaging.stores.names():
            messaging.pools.put(POOL, {"uri": f"sqlite:///{state.messages}", "weight": 100})
            state.messages.chmod(0o600)
    finally:
        messaging.close()


def database_url(state: StateDir) -> str:
    return f"sqlite:///{state.database}"


def write_config(state: StateDir, host: str, ports: Ports) -> None:
    conf = read_config(state)
    ours = {
        "database": {"connection": database_url(state)},
        "temporal": {"address": temporal_address(host, ports), "ui_url": ui_url(host, ports)},
        "api": {"bind_host": host, "bind_port": str(ports.api)},
        "auth": {"strategy": "development", "identity_file": str(state.identity)},
        "secrets": {"keyring_file": str(state.keyring)},
        "cloud": {"driver": "local", "local_directory": str(state.cloud)},
    }
    defaults = {"DEFAULT": {"default_datastore": catalog.DEFAULT_DATASTORE}}
    for section, options in {**ours, **defaults}.items():
        if not conf.has_section(section):
            conf.add_section(section)
        for name, value in options.items():
            if section in ours or not conf.has_option(section, name):
                conf.set(section, name, value)
    out = io.StringIO(HEADER)
    out.seek(0, io.SEEK_END)
    conf.write(out)
    write_private(state.config, out.getvalue())


def write_identity(state: StateDir) -> None:
    """Users, projects and passwords of the development identity; made once."""
    if state.identity.exists():
        return
    projects = {name: uuid.uuid4().hex for name in dict.fromkeys(user.project for user in USERS)}
    body = {
        "region": REGION,
        "projects": [{"id": id, "name": name} for name, id in projects.items()],
        "users": [
            {
                "id": uuid.uuid4().hex,
                "name": user.name,
                "password": secrets.token_urlsafe(18),
                "project_id": projects[user.project],
                "roles": list(user.roles),
            }
            for user in USERS
        ],
    }
    write_private(state.identity, json.dumps(body, indent=2) + "\n")


def write_clouds(state: StateDir, host: str, ports: Ports) -> None:
    identity = read_json(state.identity)
    projects = {project["id"]: project["name"] for project in identity["projects"]}
    clouds = {
        user["name"]: {
            "auth_type": "password",
            "auth": {
                "auth_url": f"{api_url(host, ports)}/identity/v3",
                "username": user["name"],
                "password": user["password"],
                "project_name": projects[user["project_id"]],
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
            "region_name": REGION,
            "identity_api_version": "3",
            "interface": "public",
        }
        for user in identity["users"]
    }
    write_private(state.clouds, yaml.safe_dump({"clouds": clouds}, sort_keys=False))
