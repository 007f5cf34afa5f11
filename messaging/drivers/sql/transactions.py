"""Transactions on a pool's database: its settings, its tables, and what is tried again."""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from messaging.drivers.sql.tables import metadata
from messaging.errors import StoreUnavailable, UnsupportedUri
from models import Database

CONNECT_SECONDS = 5
RETRY_SECONDS = 5.0
PAUSES = (0.01, 0.03, 0.1, 0.3, 0.5, 0.0)
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Transactions:
    def __init__(self, uri: str) -> None:
        url = _with_driver(make_url(uri))
        # What a connection that broke meanwhile makes fail is tried again anyway.
        self._database = Database(url.render_as_string(hide_password=False), ping=False)
        engine = self._database.engine
        self._engines = {commit: engine.execution_options(coffer_write=commit) for commit in (True, False)}
        self._tables_made = False
        self._making = threading.Lock()
        event.listen(engine, "connect", self._settings)

    @property
    def skips_locked(self) -> bool:
        """Whether a SELECT ... FOR UPDATE can pass over rows that others have locked; otherwise it waits for them."""
        dialect = self._database.engine.dialect
        if dialect.name == "sqlite":
            return False
        least = (10, 6) if getattr(dialect, "is_mariadb", False) else (8, 0)
        return dialect.name == "postgresql" or (getattr(dialect, "server_version_info", None) or ()) >= least

    def write(self, work: Callable[[Connection], T]) -> T:
        """A transaction; begun anew when it failed before its commit was sent, since then it certainly had no effect."""
        return self._try(work, commit=True)

    def read(self, work: Callable[[Connection], T]) -> T:
        return self._try(work, commit=False)

    def close(self) -> None:
        self._database.close()

    def _try(self, work: Callable[[Connection], T], *, commit: bool) -> T:
        deadline = time.monotonic() + RETRY_SECONDS
        for pause in PAUSES:
            committing = False
            try:
                self._make_tables()
                with self._engines[commit].connect() as c:
                    result = work(c)
                    if commit:
                        committing = True
                        c.commit()
                return result
            except (DBAPIError, PoolTimeout) as e:
                passing = isinstance(e, (OperationalError, IntegrityError)) or getattr(e, "connection_invalidated", False)
                if committing or not passing or not pause or time.monotonic() > deadline:
                    raise _told(e) from None
            # Two that were in each other's way must not come back together.
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
        raise AssertionError("the last attempt raises")

    def _make_tables(self) -> None:
        if self._tables_made:
            return
        with self._making:
            if self._tables_made:
                return
            try:
                metadata.create_all(self._database.engine)
            except DBAPIError:
                # Another process may have made one of them between the look and the CREATE: what is missing still is made now.
                metadata.create_all(self._database.engine)
            self._tables_made = True

    def _settings(self, connection: Any, _record: Any) -> None:
        settings = {"mysql": "SET time_zone = '+00:00'", "sqlite": "PRAGMA synchronous = FULL"}
        statement = settings.get(self._database.engine.dialect.name)
        if statement:
            cursor = connection.cursor()
            cursor.execute(statement)
            cursor.close()


def _with_driver(url: URL) -> URL:
    if url.drivername == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise UnsupportedUri("A pool in SQLite needs the path of a file.")
        return url
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return url if "connect_timeout" in url.query else url.update_query_dict({"connect_timeout": str(CONNECT_SECONDS)})


def _told(error: DBAPIError | PoolTimeout) -> StoreUnavailable:
    """Only the driver's own words are logged: the rest would quote messages."""
    cause = getattr(error, "orig", None) or error
    _log.warning("a message store failed: %s", cause)
    return StoreUnavailable(f"The message store gives no answer ({type(cause).__name__}).")
