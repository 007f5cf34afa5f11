"""The one object that the HTTP layer and the activities use.

    messaging = Messaging(database, keyring)
    messaging.queues.put(project, "orders", {"_flavor": "fast"})
    messaging.messages.post(project, "orders", [Draft({"n": 1})], client)

Every method raises subclasses of `MessagingError`, whose `status` is the HTTP status; beyond those named with a method all may
raise StoreUnavailable and QueueMoving (both 503).  Every object is safe to use from many threads.
"""

from messaging.catalogue import Catalogue
from messaging.claims import Claims
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
    deletion is always noticed: stores refuse what was meant for its former place."""

    def __init__(self, database: Database, keyring: Keyring, *, cache_seconds: float = 2.0) -> None:
        self.stores = Stores(database, keyring)
        catalogue = Catalogue(database, self.stores, cache_seconds)
        self.pools = Pools(database, keyring, self.stores)
        self.flavors = Flavors(database)
        self.queues = Queues(database, catalogue)
        self.messages = Messages(catalogue)
        self.claims = Claims(catalogue)

    def close(self) -> None:
        self.stores.close()
