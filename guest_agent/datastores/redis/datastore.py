"""Redis as a datastore."""

import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guest_agent.datastores.base import Datastore
from guest_agent.datastores.redis import configuration
from guest_agent.datastores.redis.connection import Connection, connect
from guest_agent.errors import InvalidRequest, NotSupported
from guest_agent.files import write_durably
from guest_agent.services import Services
from guest_agent.settings import Settings
from guest_agent.specs import ANY_HOST, Account, DatabaseSpec, User, UserSpec

CONFIGURATION = "redis.conf"
ACL_FILE = "users.acl"
ROOT = "default"
MAX_NAME_BYTES = 128
EVERYTHING = ("~*", "&*", "+@all")
# Everything on the data, nothing on the server: of the commands Redis calls dangerous only those that are so for the data alone.
TENANT = (
    *EVERYTHING,
    "-@admin",
    "-@dangerous",
    *("+info", "+keys", "+role", "+sort", "+sort_ro", "+flushdb", "+flushall"),
)
RULE = re.compile(r"\([^)]*\)|\S+")
# Reading a large append-only file takes as long as it takes.
START_TIMEOUT = 600
STOP_TIMEOUT = 120


class Redis(Datastore):
    """Users are ACL users. There are no named databases."""

    standard_port = 6379
    usual_account = "redis"
    root_name = ROOT

    def __init__(self, settings: Settings, services: Services) -> None:
        super().__init__(settings, services)
        self._run_dir = settings.run_dir / "engine"
        self._socket = self._run_dir / "redis.sock"

    def fill(self, fresh: Path) -> None:
        """The accounts are the only thing Redis does not make itself: it never runs without them."""
        accounts = [
            f"user {ROOT} off sanitize-payload resetchannels -@all",
            f"user {self.admin} on {_hashed(self.admin_password())} {' '.join(EVERYTHING)}",
        ]
        write_durably(str(fresh / ACL_FILE), "".join(f"{line}\n" for line in accounts).encode())
        if self.account:
            shutil.chown(fresh / ACL_FILE, self.account)

    def configure(self) -> None:
        content = configuration.render(
            ram_mb=self.settings.ram_mb,
            address=self.settings.bind_address,
            port=self.port,
            data=self.data,
            acl_file=self.data / ACL_FILE,
            socket=self._socket,
        )
        self.write_configuration(CONFIGURATION, content)

    def unit(self) -> dict[str, Any]:
        self.engine_directory(self._run_dir)
        return {
            "argv": ["redis-server", str(self.configuration_file(CONFIGURATION))],
            "type": "notify",
            "start_timeout": START_TIMEOUT,
            "stop_timeout": STOP_TIMEOUT,
        }

    def secure(self) -> None:
        """Nothing is left to close; that the agent's account works is all there is to see to."""
        self.query_version()

    def query_version(self) -> str:
        with self._connected() as engine:
            information: dict[str, Any] = engine.execute("INFO", "server")
        return str(information["redis_version"])

    def check_database(self, database: DatabaseSpec) -> None:
        raise _no_databases()

    def check_account(self, account: Account) -> None:
        name = account.name
        if not name or not name.isprintable() or " " in name or len(name.encode()) > MAX_NAME_BYTES:
            raise InvalidRequest(f"A user name has 1 to {MAX_NAME_BYTES} bytes, no space and no control character.")
        if name in (ROOT, self.admin):
            raise InvalidRequest(f"The user name '{name}' is reserved.")
        if account.host != ANY_HOST:
            raise InvalidRequest("Redis' users are the same from every host; the host can only be %.")

    def database_names(self) -> list[str]:
        raise _no_databases()

    def create_database(self, database: DatabaseSpec) -> None:
        raise _no_databases()

    def drop_database(self, name: str) -> None:
        raise _no_databases()

    def users(self) -> list[User]:
        with self._connected() as engine:
            found: list[str] = engine.execute("ACL", "USERS")
        return [User(Account(name)) for name in found if name not in (ROOT, self.admin)]

    def create_user(self, user: UserSpec) -> None:
        with self._connected() as engine:
            engine.execute("ACL", "SETUSER", user.account.name, "reset", "on", _hashed(user.password), *TENANT)
            engine.execute("ACL", "SAVE")

    def drop_user(self, account: Account) -> None:
        with self._connected() as engine:
            engine.execute("ACL", "DELUSER", account.name)
            engine.execute("ACL", "SAVE")

    def rename_user(self, old: Account, new: Account) -> None:
        """Redis cannot rename: the new user gets the old one's rules, password among them."""
        with self._connected() as engine:
            rules = next((found for name, *found in self._rules(engine) if name == old.name), None)
            if rules is not None:
                engine.execute("ACL", "SETUSER", new.name, "reset", *rules)
                engine.execute("ACL", "DELUSER", old.name)
            engine.execute("ACL", "SAVE")

    def set_password(self, account: Account, password: str) -> None:
        with self._connected() as engine:
            engine.execute("ACL", "SETUSER", account.name, "resetpass", _hashed(password))
            engine.execute("ACL", "SAVE")

    def grant(self, account: Account, databases: Sequence[str]) -> None:
        raise _no_databases()

    def revoke(self, account: Account, database: str) -> None:
        raise _no_databases()

    def root_enabled(self) -> bool:
        with self._connected() as engine:
            return any(name == ROOT and "on" in rules for name, *rules in self._rules(engine))

    def enable_root(self, password: str) -> None:
        with self._connected() as engine:
            engine.execute("ACL", "SETUSER", ROOT, "reset", "on", _hashed(password), *EVERYTHING)
            engine.execute("ACL", "SAVE")

    def disable_root(self) -> None:
        with self._connected() as engine:
            engine.execute("ACL", "SETUSER", ROOT, "reset")
            engine.execute("CLIENT", "KILL", "USER", ROOT)
            engine.execute("ACL", "SAVE")

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with connect(self._socket, self.admin, self.admin_password()) as engine:
            yield engine

    @staticmethod
    def _rules(engine: Connection) -> list[list[str]]:
        """Each user's name and rules: `user ada on #… ~* &* +@all`."""
        lines: list[str] = engine.execute("ACL", "LIST")
        return [RULE.findall(line)[1:] for line in lines]


def _hashed(password: str) -> str:
    """A password as a rule: Redis keeps this hash, and need never be sent the password itself."""
    return "#" + hashlib.sha256(password.encode()).hexdigest()


def _no_databases() -> NotSupported:
    return NotSupported("Redis has no named databases.")
