"""The stores this process has open, one per pool; opened anew when the pool's row has another generation."""

import threading
from collections.abc import Sequence

from sqlalchemy import select

from messaging.drivers.base import Store
from messaging.drivers.registry import open_store
from messaging.errors import NoPool, PoolUnreachable, StoreUnavailable
from models import Database
from models.messaging import PoolRow
from security.keyring import Keyring

URI_PURPOSE = "messaging-pool-uri"


class Stores:
    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self._open: dict[str, tuple[int, Store]] = {}
        self._lock = threading.Lock()

    def of(self, pool: str, generation: int) -> Store:
        """The store of a pool whose row had this generation when the caller looked.  Raises NoPool when it is gone."""
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
