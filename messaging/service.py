"""The one object that the HTTP layer and the activities use.

    messaging = Messaging(database, keyring)
    messaging.queues.put(project, "orders", {"_flavor": "fast"})
    messaging.messages.post(project, "orders", [Draft({"n": 1})], client)

Every method raises subclasses of `MessagingError`, whose `status` is the HTTP status; beyond those named with a method all may
raise StoreUnavailable and QueueMoving (both 503).  Every object is safe to use from many threads.
"""

from collections.abc import Collection
from contextlib import suppress

from messaging.catalogue import Catalogue
from messaging.claims import Claims
from messaging.collecting import Collector
from messaging.errors import NoPool, StoreUnavailable
from messaging.flavors import Flavors
from messaging.messages import Messages
from messaging.pools import Pools
from messaging.queues import Queues
from messaging.stores import Stores
from messaging.values import Claim, Draft, Flavor, Message, MetadataChange, Page, Pool, Queue, QueuePage, Stats
from models import Database
from security.keyring import Keyring

__all__ = [
    "Claim",
    "Draft",
    "Flavor",
    "Message",
    "Messaging",
    "MetadataChange",
    "Page",
    "Pool",
    "Queue",
    "QueuePage",
    "Stats",
]


class Messaging:
    """`cache_seconds`: for so long another process' change of a queue's metadata or of a pool's URI may go unnoticed.  A queue's move or
    deletion is always noticed: stores refuse what was meant for its former place.  `constant`: projects whose queues' metadata nobody
    changes, so that what was read once need not be read again."""

    def __init__(
        self, database: Database, keyring: Keyring, *, cache_seconds: float = 2.0, constant: Collection[str] = ()
    ) -> None:
        self.stores = Stores(database, keyring, cache_seconds)
        catalogue = Catalogue(database, self.stores, cache_seconds, constant)
        self.pools = Pools(database, keyring, self.stores)
        self.flavors = Flavors(database)
        self.queues = Queues(database, catalogue)
        self.messages = Messages(catalogue)
        self.claims = Claims(catalogue)
        self.collector = Collector(self.stores)

    def health(self) -> dict[str, bool]:
        """Which pools' stores answer."""
        return {pool: _answers(self.stores, pool) for pool in self.stores.names()}

    def sweep(self, limit: int = 1000) -> dict[str, int]:
        """Remove up to `limit` expired messages from each pool for good, to be called now and then; pools that are away are left out."""
        removed: dict[str, int] = {}
        for pool in self.stores.names():
            with suppress(StoreUnavailable, NoPool):
                removed[pool] = self.stores.current(pool).sweep(limit)
        return removed

    def close(self) -> None:
        self.stores.close()


def _answers(stores: Stores, pool: str) -> bool:
    try:
        return stores.current(pool).identity() != ""
    except (StoreUnavailable, NoPool):
        return False
