"""PostgreSQL as a datastore."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guest_agent.datastores.base import Datastore
from guest_agent.datastores.postgresql import configuration, names
from guest_agent.datastores.postgresql.connection import Connection, connect
from guest_agent.errors import EngineFailed, InvalidRequest
from guest_agent.programs import run_program
from guest_agent.services import Services
from guest_agent.settings import Settings, own_account
from guest_agent.specs import Account, DatabaseSpec, User, UserSpec

INSTALLATIONS = Path("/usr/lib/postgresql")
MAINTENANCE_DATABASE = "postgres"
ROOT = "postgres"
CONFIGURATION = "postgresql.conf"
HBA = "pg_hba.conf"
IDENT = "pg_ident.conf"
# Crash recovery and the last checkpoint take as long as they take.
START_TIMEOUT = 300
STOP_TIMEOUT = 300


class PostgreSQL(Datastore):
    """Users are login roles; access to a database is ALL on it, and the schema public is open to whoever has that."""

    standard_port = 5432
    usual_account = "postgres"
    root_name = ROOT

    def __init__(self, settings: Settings, services: Services) -> None:
        super().__init__(settings, services)
        self._run_dir = settings.run_dir / "engine"

    def fill(self, fresh: Path) -> None:
        arguments = [
            self._program("initdb"),
            f"--pgdata={fresh}",
            f"--username={self.admin}",
            "--locale=C.UTF-8",
            "--encoding=UTF8",
            "--auth-local=peer",
            "--auth-host=scram-sha-256",
            "--data-checksums",
            "--no-sync",
            "--no-instructions",
        ]
        run_program(arguments, user=self.account)
        # All files at once and after the fact: several times faster than one by one while they are made.
        run_program([self._program("initdb"), f"--pgdata={fresh}", "--sync-only"], user=self.account)

    def configure(self) -> None:
        content = configuration.render(
            ram_mb=self.settings.ram_mb,
            address=self.settings.bind_address,
            port=self.port,
            socket_dir=self._run_dir,
            hba_file=self.configuration_file(HBA),
            ident_file=self.configuration_file(IDENT),
        )
        self.write_configuration(CONFIGURATION, content)
        self.write_configuration(HBA, configuration.render_hba(self.admin))
        self.write_configuration(IDENT, configuration.render_ident(own_account(), self.admin))

    def unit(self) -> dict[str, Any]:
        self.engine_directory(self._run_dir)
        return {
            "argv": [
                self._program("postgres"),
                f"-D{self.data}",
                f"--config-file={self.configuration_file(CONFIGURATION)}",
            ],
            "type": "notify",
            "stop_signal": "SIGINT",
            "start_timeout": START_TIMEOUT,
            "stop_timeout": STOP_TIMEOUT,
        }

    def hides_from_log(self, line: str) -> bool:
        return line.startswith("\t") or any(f" {kind}: " in line for kind in ("STATEMENT", "QUERY", "DETAIL", "CONTEXT"))

    def secure(self) -> None:
        """A tenant gets into the databases it was given, and into no other."""
        with self._connected() as engine:
            for database in ("postgres", "template1"):
                engine.execute("REVOKE ALL ON DATABASE {} FROM PUBLIC", database)

    def query_version(self) -> str:
        with self._connected() as engine:
            version: str = engine.query("SHOW server_version")[0][0]
        return version.partition(" ")[0]

    def check_database(self, database: DatabaseSpec) -> None:
        names.check_database_name(database.name)

    def check_account(self, account: Account) -> None:
        names.check_user_name(account.name)
        names.check_host(account.host)

    def check_options(self, databases: Sequence[DatabaseSpec]) -> None:
        with self._connected() as engine:
            for database in databases:
                if not self._knows_options(engine, database):
                    raise InvalidRequest(f"There is no such character set or collation for '{database.name}'.")

    @staticmethod
    def _knows_options(engine: Connection, database: DatabaseSpec) -> bool:
        encoding = database.character_set or "UTF8"
        known = engine.query("SELECT pg_char_to_encoding(%s) >= 0", encoding)[0][0]
        if known and database.collate:
            known = engine.query(
                "SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'c' AND %s::text IN (collname::text, collcollate)"
                " AND collencoding IN (-1, pg_char_to_encoding(%s)))",
                database.collate,
                encoding,
            )[0][0]
        return bool(known)

    def database_names(self) -> list[str]:
        with self._connected() as engine:
            found = engine.query("SELECT datname FROM pg_database WHERE NOT datistemplate")
        return [name for (name,) in found if name not in names.INTERNAL_DATABASES]

    def create_database(self, database: DatabaseSpec) -> None:
        with self._connected() as engine:
            if not engine.query("SELECT FROM pg_database WHERE datname = %s", database.name):
                self._create(engine, database)
            engine.execute("REVOKE ALL ON DATABASE {} FROM PUBLIC", database.name)
        with self._connected(database.name) as engine:
            # Whoever may connect may make tables, as it was before PostgreSQL 15.
            engine.execute("GRANT ALL ON SCHEMA public TO PUBLIC")

    @staticmethod
    def _create(engine: Connection, database: DatabaseSpec) -> None:
        if not database.character_set and not database.collate:
            engine.execute("CREATE DATABASE {}", database.name)
            return
        is_unicode = (database.character_set or "UTF8").upper() in ("UTF8", "UTF-8", "UNICODE")
        engine.execute(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {encoding} LC_COLLATE {collate} LC_CTYPE {collate}",
            database.name,
            encoding=database.character_set or "UTF8",
            collate=database.collate or ("C.UTF-8" if is_unicode else "C"),
        )

    def drop_database(self, name: str) -> None:
        with self._connected() as engine:
            engine.execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def users(self) -> list[User]:
        with self._connected() as engine:
            roles = engine.query("SELECT rolname FROM pg_roles WHERE rolcanlogin AND NOT starts_with(rolname, 'pg_')")
            grants = engine.query(
                "SELECT rolname, datname FROM pg_database, aclexplode(datacl) AS access, pg_roles"
                " WHERE pg_roles.oid = access.grantee AND access.privilege_type = 'CONNECT' AND NOT datistemplate"
            )
        access: dict[str, set[str]] = {role: set() for (role,) in roles if role not in names.INTERNAL_ROLES}
        for role, database in grants:
            if role in access and database not in names.INTERNAL_DATABASES:
                access[role].add(database)
        return [User(Account(role), tuple(sorted(databases))) for role, databases in access.items()]

    def create_user(self, user: UserSpec) -> None:
        name = user.account.name
        with self._connected() as engine:
            if not self._role_exists(engine, name):
                engine.execute("CREATE ROLE {} NOLOGIN", name)
            engine.execute("ALTER ROLE {} LOGIN PASSWORD {verifier}", name, verifier=engine.verifier(name, user.password))
            self._grant(engine, name, user.databases)

    def drop_user(self, account: Account) -> None:
        """What the user has made stays, as the agent's: a user can be deleted without its data."""
        with self._connected() as engine:
            if not self._role_exists(engine, account.name):
                return
            engine.execute("ALTER ROLE {} NOLOGIN", account.name)
            engine.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", account.name)
            databases = [name for (name,) in engine.query("SELECT datname FROM pg_database WHERE datallowconn")]
        for database in databases:
            with self._connected(database) as engine:
                engine.execute("REASSIGN OWNED BY {} TO {}", account.name, self.admin)
                engine.execute("DROP OWNED BY {}", account.name)
        with self._connected() as engine:
            engine.execute("DROP ROLE IF EXISTS {}", account.name)

    def rename_user(self, old: Account, new: Account) -> None:
        with self._connected() as engine:
            if self._role_exists(engine, old.name) or not self._role_exists(engine, new.name):
                engine.execute("ALTER ROLE {} RENAME TO {}", old.name, new.name)

    def set_password(self, account: Account, password: str) -> None:
        with self._connected() as engine:
            verifier = engine.verifier(account.name, password)
            engine.execute("ALTER ROLE {} PASSWORD {verifier}", account.name, verifier=verifier)

    def grant(self, account: Account, databases: Sequence[str]) -> None:
        with self._connected() as engine:
            self._grant(engine, account.name, databases)

    def revoke(self, account: Account, database: str) -> None:
        with self._connected() as engine:
            engine.execute("REVOKE ALL ON DATABASE {} FROM {}", database, account.name)

    def root_enabled(self) -> bool:
        with self._connected() as engine:
            return bool(engine.query("SELECT FROM pg_roles WHERE rolname = %s AND rolcanlogin", ROOT))

    def enable_root(self, password: str) -> None:
        with self._connected() as engine:
            if not self._role_exists(engine, ROOT):
                engine.execute("CREATE ROLE {} NOLOGIN", ROOT)
            verifier = engine.verifier(ROOT, password)
            engine.execute("ALTER ROLE {} SUPERUSER CREATEDB CREATEROLE LOGIN PASSWORD {verifier}", ROOT, verifier=verifier)

    def disable_root(self) -> None:
        """The role may own things by now, so it stays, but can do nothing."""
        with self._connected() as engine:
            if self._role_exists(engine, ROOT):
                engine.execute("ALTER ROLE {} NOSUPERUSER NOCREATEDB NOCREATEROLE NOLOGIN PASSWORD NULL", ROOT)
            engine.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", ROOT)

    @contextmanager
    def _connected(self, database: str = MAINTENANCE_DATABASE) -> Iterator[Connection]:
        with connect(self._run_dir, self.port, self.admin, database) as engine:
            yield engine

    @staticmethod
    def _role_exists(engine: Connection, name: str) -> bool:
        return bool(engine.query("SELECT FROM pg_roles WHERE rolname = %s", name))

    @staticmethod
    def _grant(engine: Connection, name: str, databases: Sequence[str]) -> None:
        for database in databases:
            engine.execute("GRANT ALL ON DATABASE {} TO {}", database, name)

    def _program(self, name: str) -> str:
        """From the installation that made the data, or else that of the wanted version, or else the newest."""
        version_file = self.data / "PG_VERSION"
        wanted = version_file.read_text(encoding="ascii") if version_file.exists() else self.settings.version
        candidates = [INSTALLATIONS / wanted.strip().partition(".")[0] / "bin" / name]
        if not version_file.exists():
            installed = sorted((path for path in INSTALLATIONS.glob("[0-9]*")), key=lambda path: int(path.name))
            candidates += [path / "bin" / name for path in reversed(installed)]
        found = next((str(path) for path in candidates if path.exists()), None) or shutil.which(name)
        if found is None:
            raise EngineFailed(f"PostgreSQL's {name} is not installed on this server.")
        return found
