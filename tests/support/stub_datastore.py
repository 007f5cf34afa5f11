"""A datastore whose engine is a real process but trivial: databases and users are kept in a JSON file."""

import hashlib
import json
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from guest_agent.datastores.base import Datastore
from guest_agent.errors import EngineUnavailable, InvalidRequest
from guest_agent.files import write_durably
from guest_agent.settings import own_account
from guest_agent.specs import ANY_HOST, Account, DatabaseSpec, User, UserSpec

ENGINE_PROGRAM = Path(__file__).with_name("stub_engine.py")
EMPTY: dict[str, Any] = {"databases": [], "users": {}, "root": None}


class Stub(Datastore):
    """As strict as a real one: nothing is read or written while the engine does not answer."""

    standard_port = 9999
    usual_account = own_account()

    @property
    def _file(self) -> Path:
        return self.data / "stub.json"

    def fill(self, fresh: Path) -> None:
        write_durably(str(fresh / "stub.json"), json.dumps(EMPTY).encode())

    def configure(self) -> None:
        write_durably(str(self.settings.state_dir / "stub.conf"), f"ram_mb = {self.settings.ram_mb}\n".encode())

    def unit(self) -> dict[str, Any]:
        argv = [sys.executable, "-I", "-S", str(ENGINE_PROGRAM), self.settings.bind_address, str(self.port)]
        return {"argv": argv, "type": "notify"}

    def secure(self) -> None:
        self.query_version()

    def query_version(self) -> str:
        try:
            with socket.create_connection((self.settings.bind_address, self.port), timeout=5) as connection:
                greeting = connection.makefile("rb").readline()
        except OSError:
            greeting = b""
        if not greeting:  # refused, or ended in the middle of it
            raise EngineUnavailable("The stub engine does not answer.")
        return greeting.decode().split()[1]

    def check_database(self, database: DatabaseSpec) -> None:
        if not database.name.isidentifier() or database.name == "stub":
            raise InvalidRequest("That cannot be the name of a database.")

    def check_account(self, account: Account) -> None:
        if not account.name.isidentifier() or account.name in ("root", self.admin):
            raise InvalidRequest("That cannot be the name of a user.")

    def database_names(self) -> list[str]:
        return list(self._read()["databases"])

    def create_database(self, database: DatabaseSpec) -> None:
        content = self._read()
        if database.name not in content["databases"]:
            content["databases"].append(database.name)
            self._write(content)

    def drop_database(self, name: str) -> None:
        content = self._read()
        content["databases"] = [other for other in content["databases"] if other != name]
        for user in content["users"].values():
            user["databases"] = [other for other in user["databases"] if other != name]
        self._write(content)

    def users(self) -> list[User]:
        users = self._read()["users"].items()
        return [User(_account(key), tuple(sorted(user["databases"]))) for key, user in users]

    def create_user(self, user: UserSpec) -> None:
        content = self._read()
        content["users"][user.account.key] = {"password": _hash(user.password), "databases": list(user.databases)}
        self._write(content)

    def drop_user(self, account: Account) -> None:
        content = self._read()
        content["users"].pop(account.key, None)
        self._write(content)

    def rename_user(self, old: Account, new: Account) -> None:
        content = self._read()
        if old.key in content["users"]:
            content["users"][new.key] = content["users"].pop(old.key)
            self._write(content)

    def set_password(self, account: Account, password: str) -> None:
        content = self._read()
        content["users"][account.key]["password"] = _hash(password)
        self._write(content)

    def grant(self, account: Account, databases: Sequence[str]) -> None:
        content = self._read()
        user = content["users"][account.key]
        user["databases"] = sorted({*user["databases"], *databases})
        self._write(content)

    def revoke(self, account: Account, database: str) -> None:
        content = self._read()
        user = content["users"][account.key]
        user["databases"] = [name for name in user["databases"] if name != database]
        self._write(content)

    def root_enabled(self) -> bool:
        return self._read()["root"] is not None

    def enable_root(self, password: str) -> None:
        self._write({**self._read(), "root": _hash(password)})

    def disable_root(self) -> None:
        self._write({**self._read(), "root": None})

    def _read(self) -> dict[str, Any]:
        self.query_version()
        content: dict[str, Any] = json.loads(self._file.read_text())
        return content

    def _write(self, content: dict[str, Any]) -> None:
        write_durably(str(self._file), json.dumps(content).encode())


def _account(key: str) -> Account:
    name, _, host = key.rpartition("@")
    return Account(name, host or ANY_HOST)


def _hash(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
