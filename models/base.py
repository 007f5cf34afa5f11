"""The declarative base, column types, and how a transaction is opened."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import (
    CursorResult,
    DateTime,
    Delete,
    Dialect,
    Engine,
    Insert,
    MetaData,
    TypeDecorator,
    Update,
    create_engine,
    event,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Session

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMES)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; kept without a zone, with microseconds, on every engine."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


def new_id() -> str:
    return str(uuid.uuid4())


def utcnow() -> datetime:
    return datetime.now(UTC)


def rows_changed(s: Session, statement: Update | Delete | Insert) -> int:
    """Run a compare-and-set and tell how many rows it hit."""
    return cast("CursorResult[Any]", s.execute(statement)).rowcount


class Database:
    """One engine and the two ways to open a transaction on it.  `ping`: ask before each transaction whether the connection still holds."""

    def __init__(self, url: str, *, ping: bool = True) -> None:
        self.url = url
        self.engine = _engine(url, ping)
        self._told: dict[str, Callable[[], None]] = {}

    def when_committed(self, what: str, then: Callable[[], None]) -> None:
        """Have `then` called after each commit of a transaction that has put `what` into its session's `info`."""
        self._told[what] = then

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that commits at the end of the block.  On SQLite it takes the write lock at once, so it can't fail midway."""
        with Session(self.engine, expire_on_commit=False) as s:
            s.connection(execution_options={"coffer_write": True})
            try:
                yield s
            except BaseException:
                s.rollback()
                raise
            s.commit()
            for what in self._told.keys() & s.info.keys():
                self._told[what]()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A read-only look; rows stay usable after the block."""
        with Session(self.engine, expire_on_commit=False) as s:
            yield s

    def close(self) -> None:
        self.engine.dispose()


def _engine(url: str, ping: bool) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(
            url, isolation_level="READ COMMITTED", pool_pre_ping=ping, pool_recycle=1800, pool_size=10, max_overflow=20
        )
    engine = create_engine(url, connect_args={"timeout": 30, "check_same_thread": False})

    # The driver's own transaction handling begins late and in deferred mode; two writers would then fail instead of waiting.
    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        write = connection.get_execution_options().get("coffer_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine
