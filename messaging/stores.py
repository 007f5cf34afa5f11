"""The stores this process has open, one per pool; opened anew when the pool's row has another generation."""

import threading
import time
from collections.abc import Mapping, Sequence

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from messaging.drivers.base import Store
from messaging.drivers.registry import open_store
from messaging.errors import NoPool, PoolUnreachable, StoreUnavailable
from models import Database
from models.messaging import PoolRow
from security.keyring import Keyring

URI_PURPOSE = "messaging-pool-uri"

log = structlog.get_logger(__name__)


class Stores:
    """`cache_seconds`: for so long another process' change of a pool's URI may go unnoticed."""

    def __init__(self, database: Database, keyring: Keyring, cache_seconds: float) -> None:
        self._database = database
        self._keyring = keyring
        self._cache_seconds = cache_seconds
        self._open: dict[str, tuple[int, Store]] = {}
        self._seen: Mapping[str, int] = {}
        self._look_at = 0.0
        self._lock = threading.Lock()

    def of(self, pool: str, generation: int) -> Store:
        """The store of a pool whose row had this generation, if the caller has looked lately, or an earlier one.  Raises NoPool when it
        is gone."""
        self._look()
        generation = max(generation, self._seen.get(pool, 0))
        with self._lock:
            held = self._open.get(pool)
            if held and held[0] >= generation:
                return held[1]
            with self._database.read() as s:
                row = s.get(PoolRow, pool)
            if row is None:
                raise NoPool(f"Pool {pool} is gone.")
            store = open_store(self.uri(row))
            self._open[pool] = (row.generation, store)
        if held:
            held[1].close()
        return store

    def current(self, pool: str) -> Store:
        """The store of a pool as its row is now.  Raises NoPool."""
        with self._database.read() as s:
            generation = s.scalar(select(PoolRow.generation).where(PoolRow.name == pool))
        return self.of(pool, generation or 0)

    def names(self) -> Sequence[str]:
        with self._database.read() as s:
            return s.scalars(select(PoolRow.name).order_by(PoolRow.name)).all()

    def uri(self, row: PoolRow) -> str:
        return self._keyring.open(URI_PURPOSE, row.name, row.uri_sealed).decode()

    def seal(self, pool: str, uri: str) -> bytes:
        return self._keyring.seal(URI_PURPOSE, pool, uri.encode())

    def _look(self) -> None:
        """One look at all pools now and then, so that no call for a queue needs one.  With SQL away they are what they were."""
        with self._lock:
            if time.monotonic() < self._look_at:
                return
            self._look_at = time.monotonic() + self._cache_seconds
        try:
            with self._database.read() as s:
                self._seen = {row.name: row.generation for row in s.execute(select(PoolRow.name, PoolRow.generation))}
        except SQLAlchemyError as e:
            log.warning("pools are looked at again later", reason=type(e).__name__)

    def close(self) -> None:
        with self._lock:
            for _generation, store in self._open.values():
                store.close()
            self._open.clear()


def probe(uri: str) -> str:
    """The identity of the store behind a URI that is to be registered.  Raises UnsupportedUri, PoolUnreachable."""
    store = open_store(uri)
    try:
        return store.identity()
    except StoreUnavailable as e:
        raise PoolUnreachable(f"The pool's store cannot be reached: {e}") from None
    finally:
        store.close()
