"""MariaDB as a datastore."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guest_agent.datastores.base import Datastore
from guest_agent.datastores.mariadb import configuration, installation, names
from guest_agent.datastores.mariadb.connection import STATEMENT_TIMEOUT, AccessDenied, Connection, connect
from guest_agent.errors import InvalidRequest
from guest_agent.services import Services
from guest_agent.settings import Settings, own_account
from guest_agent.specs import ANY_HOST, Account, DatabaseSpec, User, UserSpec

CONFIGURATION = "mariadb.cnf"
# Crash recovery and a full flush take as long as they take; the engine asks for more time while it makes progress.
START_TIMEOUT = 300
STOP_TIMEOUT = 300
STATUS_TIMEOUT = 5


class MariaDB(Datastore):
    """Users are 'name'@'host'; access to a database is ALL PRIVILEGES on it."""

    standard_port = 3306
    usual_account = installation.USUAL_ACCOUNT

    def __init__(self, settings: Settings, services: Services) -> None:
        super().__init__(settings, services)
        self._run_dir = settings.run_dir / "engine"
        self._socket = self._run_dir / "mariadb.sock"

    def fill(self, fresh: Path) -> None:
        redo_log_mb = configuration.redo_log_mb(self.settings.ram_mb)
        installation.fill(fresh, self.account, redo_log_mb, self.settings.template_dir)

    def configure(self) -> None:
        content = configuration.render(
            ram_mb=self.settings.ram_mb,
            address=self.settings.bind_address,
            port=self.port,
            data=self.data,
            temporary=self.engine_directory(self.settings.data_dir / "tmp"),
            files=self.engine_directory(self.settings.data_dir / "files"),
            socket=self._socket,
        )
        self.write_configuration(CONFIGURATION, content)

    def unit(self) -> dict[str, Any]:
        self.engine_directory(self._run_dir)
        return {
            "argv": ["mariadbd", f"--defaults-file={self.configuration_file(CONFIGURATION)}"],
            "type": "notify",
            "start_timeout": START_TIMEOUT,
            "stop_timeout": STOP_TIMEOUT,
        }

    def secure(self) -> None:
        """One account of the agent's own, and the machine's root over the socket; every other one goes."""
        password = self.admin_password()
        try:
            with self._connected():
                pass
        except AccessDenied:
            with connect(self._socket, own_account(), "") as engine:
                engine.execute("CREATE OR REPLACE USER %s@'localhost' IDENTIFIED BY %s", self.admin, password)
                engine.execute("GRANT ALL PRIVILEGES ON *.* TO %s@'localhost' WITH GRANT OPTION", self.admin)
        with self._connected() as engine:
            for name, host in engine.execute("SELECT user, host FROM mysql.user WHERE is_role = 'N'"):
                if host != "localhost" or name not in ("root", "mariadb.sys", self.admin):
                    engine.execute("DROP USER IF EXISTS %s@%s", name, host)

    def query_version(self) -> str:
        with self._connected(STATUS_TIMEOUT) as engine:
            version: str = engine.execute("SELECT VERSION()")[0][0]
        return version.partition("-")[0]

    def check_database(self, database: DatabaseSpec) -> None:
        names.check_database_name(database.name)

    def check_account(self, account: Account) -> None:
        names.check_user_name(account.name)
        names.check_host(account.host)

    def check_options(self, databases: Sequence[DatabaseSpec]) -> None:
        with self._connected() as engine:
            known = engine.execute(
                "SELECT character_set_name, collation_name, full_collation_name"
                " FROM information_schema.collation_character_set_applicability"
            )
        for database in databases:
            if not _is_known(database, known):
                raise InvalidRequest(f"There is no such character set or collation for '{database.name}'.")

    def database_names(self) -> list[str]:
        with self._connected() as engine:
            found = [str(name) for (name,) in engine.execute("SHOW DATABASES")]
        return [name for name in found if name not in names.INTERNAL_DATABASES and not name.startswith("#mysql50#")]

    def create_database(self, database: DatabaseSpec) -> None:
        statement = f"CREATE DATABASE IF NOT EXISTS {names.identifier(database.name)}"
        if database.character_set:
            statement += f" CHARACTER SET {names.identifier(database.character_set)}"
        if database.collate:
            statement += f" COLLATE {names.identifier(database.collate)}"
        with self._connected() as engine:
            engine.execute(statement)

    def drop_database(self, name: str) -> None:
        with self._connected() as engine:
            # Or a later database of that name would be open to the users of this one.
            for user, host, pattern in self._grants(engine):
                if names.database_of_pattern(pattern) == name:
                    self._revoke(engine, Account(user, host), pattern)
            engine.execute(f"DROP DATABASE IF EXISTS {names.identifier(name)}")

    def users(self) -> list[User]:
        with self._connected() as engine:
            accounts = engine.execute("SELECT user, host FROM mysql.user WHERE is_role = 'N'")
            grants = self._grants(engine)
        access: dict[Account, set[str]] = {Account(user, host): set() for user, host in accounts}
        for user, host, pattern in grants:
            access.setdefault(Account(user, host), set()).add(names.database_of_pattern(pattern))
        return [
            User(account, tuple(sorted(databases)))
            for account, databases in access.items()
            if account.name not in names.INTERNAL_USERS
        ]

    def create_user(self, user: UserSpec) -> None:
        account = user.account
        with self._connected() as engine:
            engine.execute("CREATE OR REPLACE USER %s@%s IDENTIFIED BY %s", account.name, account.host, user.password)
            self._grant(engine, account, user.databases)

    def drop_user(self, account: Account) -> None:
        with self._connected() as engine:
            engine.execute("DROP USER IF EXISTS %s@%s", account.name, account.host)

    def rename_user(self, old: Account, new: Account) -> None:
        with self._connected() as engine:
            there = set(engine.execute("SELECT user, host FROM mysql.user WHERE is_role = 'N'"))
            if (old.name, old.host) in there or (new.name, new.host) not in there:
                engine.execute("RENAME USER %s@%s TO %s@%s", old.name, old.host, new.name, new.host)

    def set_password(self, account: Account, password: str) -> None:
        with self._connected() as engine:
            engine.execute("ALTER USER %s@%s IDENTIFIED BY %s", account.name, account.host, password)

    def grant(self, account: Account, databases: Sequence[str]) -> None:
        with self._connected() as engine:
            self._grant(engine, account, databases)

    def revoke(self, account: Account, database: str) -> None:
        with self._connected() as engine:
            for user, host, pattern in self._grants(engine):
                if Account(user, host) == account and names.database_of_pattern(pattern) == database:
                    self._revoke(engine, account, pattern)

    def root_enabled(self) -> bool:
        with self._connected() as engine:
            return bool(self._remote_roots(engine))

    def enable_root(self, password: str) -> None:
        with self._connected() as engine:
            engine.execute("CREATE OR REPLACE USER 'root'@%s IDENTIFIED BY %s", ANY_HOST, password)
            engine.execute("GRANT ALL PRIVILEGES ON *.* TO 'root'@%s WITH GRANT OPTION", ANY_HOST)

    def disable_root(self) -> None:
        with self._connected() as engine:
            for host in self._remote_roots(engine):
                engine.execute("DROP USER IF EXISTS 'root'@%s", host)

    @contextmanager
    def _connected(self, timeout: float = STATEMENT_TIMEOUT) -> Iterator[Connection]:
        with connect(self._socket, self.admin, self.admin_password(), timeout) as engine:
            yield engine

    @staticmethod
    def _remote_roots(engine: Connection) -> list[str]:
        rows = engine.execute("SELECT host FROM mysql.user WHERE user = 'root' AND is_role = 'N'")
        return [str(host) for (host,) in rows if host != "localhost"]

    @staticmethod
    def _grants(engine: Connection) -> Sequence[tuple[Any, ...]]:
        return engine.execute("SELECT user, host, db FROM mysql.db")

    @staticmethod
    def _grant(engine: Connection, account: Account, databases: Sequence[str]) -> None:
        for name in databases:
            pattern = names.identifier(names.grant_pattern(name))
            engine.execute(f"GRANT ALL PRIVILEGES ON {pattern}.* TO %s@%s", account.name, account.host)

    @staticmethod
    def _revoke(engine: Connection, account: Account, pattern: str) -> None:
        engine.execute(f"REVOKE ALL PRIVILEGES ON {names.identifier(pattern)}.* FROM %s@%s", account.name, account.host)


def _is_known(database: DatabaseSpec, known: Sequence[tuple[str, ...]]) -> bool:
    character_set, collate = _present_name(database.character_set), _present_name(database.collate)
    return any(
        character_set in (None, known_set) and (collate is None or collate in collations) for known_set, *collations in known
    )


def _present_name(name: str | None) -> str | None:
    """The old name `utf8`, alone or before a collation's, stands for `utf8mb3`."""
    return re.sub(r"^utf8(?=_|$)", "utf8mb3", name.lower()) if name else None
