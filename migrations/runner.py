"""Bring a database to a revision of the schema, or tell which it has.

Needs nothing but the installed package: no alembic.ini, no working directory.  Two runners on one database take turns.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.pool import NullPool

HEAD = "head"
_LOCK_ID = 0x636F66666572  # "coffer"
_LOCK_SECONDS = 600


class DatabaseTooNew(Exception):
    """The database carries a revision that this release does not know."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"The database is at schema revision {revision}, which this release does not know: run the release that made it."
        )
        self.revision = revision


def upgrade(url: str, revision: str = HEAD) -> None:
    with _turn(url) as connection:
        _known(connection)
        command.upgrade(_config(connection), revision)


def downgrade(url: str, revision: str) -> None:
    """Go back to `revision`; `base` is the empty database."""
    with _turn(url) as connection:
        _known(connection)
        command.downgrade(_config(connection), revision)


def current(url: str) -> str | None:
    """The revision the database has; None when it has no schema yet."""
    with _connect(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def pending(url: str) -> list[str]:
    """The revisions between the database's own and this release's, oldest first.  Raises DatabaseTooNew."""
    with _connect(url) as connection:
        revision = _known(connection)
    steps = ScriptDirectory.from_config(_config()).iterate_revisions(HEAD, revision or "base")
    return [step.revision for step in steps][::-1]


def _known(connection: Connection) -> str | None:
    revision = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(_config())
    if revision is not None and revision not in {script.revision for script in scripts.walk_revisions()}:
        raise DatabaseTooNew(revision)
    return revision


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _turn(url: str) -> Iterator[Connection]:
    """A connection that only one runner at a time has; on an engine with transactional DDL all or nothing is applied."""
    with _connect(url, begin="BEGIN IMMEDIATE") as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})
        elif connection.dialect.name in ("mysql", "mariadb"):
            locked = connection.scalar(
                text("SELECT GET_LOCK(:name, :seconds)"), {"name": "coffer-migrations", "seconds": _LOCK_SECONDS}
            )
            if not locked:
                raise TimeoutError(f"Another migration has been running for {_LOCK_SECONDS} s.")
        yield connection
        if connection.dialect.name == "sqlite":
            _check_references(connection)


@contextmanager
def _connect(url: str, begin: str = "BEGIN") -> Iterator[Connection]:
    engine = create_engine(url, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        # Foreign keys stay off (SQLite's default): changing a table there means copying and dropping it, which would cascade.
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    with engine.begin() as connection:
        yield connection


def _leave_transactions_to_us(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout = 600000")


def _check_references(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if broken:
        raise RuntimeError(f"The migration would leave rows without what they refer to: {broken[:5]}")
