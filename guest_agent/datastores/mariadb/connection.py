"""One administrative connection, and what the engine's errors mean to the control plane."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
from pymysql.constants import CR, ER

from guest_agent.errors import (
    DatabaseExists,
    DatabaseNotFound,
    EngineFailed,
    EngineUnavailable,
    GuestError,
    InvalidRequest,
    UserNotFound,
)

CONNECT_TIMEOUT = 5
STATEMENT_TIMEOUT = 600

# MariaDB numbers these otherwise than the driver, or alone.
WRONG_STRING_LENGTH = 1470
ACCESS_DENIED_NO_PASSWORD = 1698

UNAVAILABLE = frozenset(
    {
        CR.CR_CONNECTION_ERROR,
        CR.CR_CONN_HOST_ERROR,
        CR.CR_SERVER_GONE_ERROR,
        CR.CR_SERVER_LOST,
        ER.CON_COUNT_ERROR,
        ER.SERVER_SHUTDOWN,
        ER.NORMAL_SHUTDOWN,
    }
)
REFUSED = {
    ER.DB_CREATE_EXISTS: DatabaseExists,
    ER.DB_DROP_EXISTS: DatabaseNotFound,
    ER.BAD_DB_ERROR: DatabaseNotFound,
    ER.CANNOT_USER: UserNotFound,
    ER.WRONG_DB_NAME: InvalidRequest,
    ER.TOO_LONG_IDENT: InvalidRequest,
    WRONG_STRING_LENGTH: InvalidRequest,
    ER.INVALID_CHARACTER_STRING: InvalidRequest,
    ER.UNKNOWN_CHARACTER_SET: InvalidRequest,
    ER.UNKNOWN_COLLATION: InvalidRequest,
    ER.COLLATION_CHARSET_MISMATCH: InvalidRequest,
}
# These quote the statement, and with it what may be a password.
QUOTING = frozenset({ER.PARSE_ERROR, ER.SYNTAX_ERROR})


class AccessDenied(EngineFailed):
    """The account may not log in."""


class Connection:
    """Runs statements; values are always the driver's parameters."""

    def __init__(self, connection: "pymysql.Connection[Any]") -> None:
        self._connection = connection

    def execute(self, statement: str, *values: object) -> Sequence[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            # Always with parameters, be there none: so a percent sign is written in one way only, doubled.
            cursor.execute(statement, values)
            rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
        return rows


@contextmanager
def connect(socket: Path, user: str, password: str, timeout: float = STATEMENT_TIMEOUT) -> Iterator[Connection]:
    try:
        connection = pymysql.connect(
            unix_socket=str(socket),
            user=user,
            password=password,
            charset="utf8mb4",
            autocommit=True,
            # Over a Unix socket; the certificates it would load take longer than most statements.
            ssl_disabled=True,
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=timeout,
            write_timeout=timeout,
        )
        try:
            yield Connection(connection)
        finally:
            if connection.open:
                connection.close()
    except pymysql.err.MySQLError as error:
        raise _meaning(error) from None


def _meaning(error: pymysql.err.MySQLError) -> GuestError:
    code = error.args[0] if error.args else 0
    message = "" if code in QUOTING or len(error.args) < 2 else str(error.args[1])
    if code in UNAVAILABLE or isinstance(error, pymysql.err.InterfaceError):
        return EngineUnavailable(f"MariaDB does not answer ({code}).")
    if code in (ER.ACCESS_DENIED_ERROR, ACCESS_DENIED_NO_PASSWORD):
        return AccessDenied("MariaDB refuses the agent's own account.")
    return REFUSED.get(code, EngineFailed)(f"MariaDB refused with error {code}. {message}".strip())
