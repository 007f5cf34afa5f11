"""One administrative connection, and what the engine's errors mean to the control plane."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from guest_agent.errors import (
    DatabaseExists,
    DatabaseNotFound,
    EngineFailed,
    EngineUnavailable,
    GuestError,
    InvalidRequest,
    UserExists,
    UserNotFound,
)

CONNECT_TIMEOUT = 5

# SQLSTATE classes: connection exception, and operator intervention (shutting down, starting, crashed).
UNAVAILABLE_CLASSES = ("08", "57P")
TOO_MANY_CONNECTIONS = "53300"
REFUSED: dict[str, type[GuestError]] = {
    "42P04": DatabaseExists,
    "3D000": DatabaseNotFound,
    "42710": UserExists,
    "42704": UserNotFound,
    "42939": InvalidRequest,  # reserved name
    "42602": InvalidRequest,  # invalid name
    "22023": InvalidRequest,  # invalid parameter value
    "42P17": InvalidRequest,  # invalid object definition
    "42809": InvalidRequest,  # wrong object type
}


class Connection:
    """Runs statements; identifiers and values are quoted by the driver."""

    def __init__(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
        self._connection = connection

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()

    def execute(self, template: str, *names: str, **literals: str) -> None:
        """Run a command; {} stands for an identifier, {name} for a literal."""
        command = sql.SQL(template).format(
            *(sql.Identifier(name) for name in names),
            **{key: sql.Literal(value) for key, value in literals.items()},
        )
        self._connection.execute(command)

    def verifier(self, user: str, password: str) -> str:
        """What the engine keeps in place of the password; it never sees or logs the password itself."""
        made = self._connection.pgconn.encrypt_password(password.encode(), user.encode(), b"scram-sha-256")
        return made.decode("ascii")


@contextmanager
def connect(socket_dir: Path, port: int, user: str, database: str) -> Iterator[Connection]:
    try:
        with psycopg.connect(
            host=str(socket_dir),
            port=port,
            user=user,
            dbname=database,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT,
            sslmode="disable",
            gssencmode="disable",
            client_encoding="UTF8",
        ) as connection:
            yield Connection(connection)
    except psycopg.Error as error:
        raise _meaning(error) from None


def _meaning(error: psycopg.Error) -> GuestError:
    state = error.sqlstate
    if state is None or state.startswith(UNAVAILABLE_CLASSES) or state == TOO_MANY_CONNECTIONS:
        return EngineUnavailable(f"PostgreSQL does not answer ({state or 'no connection'}).")
    # Only the primary message: detail, hint and context may quote a statement.
    message = f"PostgreSQL refused with {state}: {error.diag.message_primary}."
    return REFUSED.get(state, EngineFailed)(message)
