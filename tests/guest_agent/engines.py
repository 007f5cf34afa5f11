"""What tests need to know of each engine: how a tenant logs in, and what is really there."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.guest_agent.server import Server

NO_RETRY = Retry(NoBackoff(), 0)


class LoginRefused(Exception):
    """The engine does not let this user in with this password."""


class Engine(ABC):
    """A tenant's and an administrator's view of a server's engine, neither of them through the agent."""

    root: str
    has_databases = True

    def __init__(self, server: Server) -> None:
        self.server = server

    @abstractmethod
    def log_in(self, name: str, password: str, database: str | None = None) -> None:
        """Over the network, and into the database if one is named, where a table can be made."""

    @abstractmethod
    def inventory(self) -> set[Any]:
        """Every account and database of the engine, internal ones too, as an administrator sees them."""

    def admin_password(self) -> str:
        return (self.server.path / "state" / "os_admin.password").read_text()


class MariaDB(Engine):
    root = "root"

    def log_in(self, name: str, password: str, database: str | None = None) -> None:
        try:
            # As bytes: the driver would send text as Latin-1.
            with pymysql.connect(
                host=self.server.address,
                user=name,
                password=password.encode(),  # type: ignore[arg-type]
                database=database,
                charset="utf8mb4",
                ssl_disabled=True,
            ) as connection:
                if database:
                    connection.cursor().execute("CREATE TABLE IF NOT EXISTS made (x INT)")
        except pymysql.err.OperationalError as error:
            raise LoginRefused(error.args[0]) from error

    def inventory(self) -> set[Any]:
        socket = str(self.server.path / "run" / "engine" / "mariadb.sock")
        with pymysql.connect(
            unix_socket=socket, user="os_admin", password=self.admin_password(), ssl_disabled=True
        ) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT user, host FROM mysql.global_priv")
            accounts = {("account", *row) for row in cursor.fetchall()}
            cursor.execute("SELECT user, host, db FROM mysql.db")
            grants = {("grant", *row) for row in cursor.fetchall()}
            cursor.execute("SHOW DATABASES")
            return accounts | grants | {("database", *row) for row in cursor.fetchall()}


class PostgreSQL(Engine):
    root = "postgres"

    def log_in(self, name: str, password: str, database: str | None = None) -> None:
        try:
            with psycopg.connect(
                host=self.server.address, user=name, password=password, dbname=database or "postgres", client_encoding="UTF8"
            ) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS made (x INT)")
        except psycopg.OperationalError as error:
            if database is None and "permission denied for database" in str(error):
                # The password was right: that is looked at first.
                return
            raise LoginRefused(str(error)) from error

    def inventory(self) -> set[Any]:
        directory = str(self.server.path / "run" / "engine")
        with psycopg.connect(host=directory, user="os_admin", dbname="postgres") as connection:
            roles = connection.execute("SELECT 'role', rolname, rolcanlogin, rolsuper FROM pg_roles").fetchall()
            databases = connection.execute("SELECT 'database', datname, datacl::text FROM pg_database").fetchall()
        return set(roles) | set(databases)


class Redis(Engine):
    root = "default"
    has_databases = False

    def log_in(self, name: str, password: str, database: str | None = None) -> None:
        try:
            with redis.Redis(host=self.server.address, username=name, password=password, retry=NO_RETRY) as client:
                client.set("made", "1")
        except redis.AuthenticationError as error:
            raise LoginRefused(str(error)) from error

    def inventory(self) -> set[Any]:
        socket = str(self.server.path / "run" / "engine" / "redis.sock")
        with redis.Redis(unix_socket_path=socket, username="os_admin", password=self.admin_password()) as client:
            # The order of a user's rules means nothing, and changes when they are read from disk.
            return {frozenset(line.split()) for line in client.execute_command("ACL", "LIST")}


ENGINES: dict[str, type[Engine]] = {"mariadb": MariaDB, "postgresql": PostgreSQL, "redis": Redis}


def rss_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])
