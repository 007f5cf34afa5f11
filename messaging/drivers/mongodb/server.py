"""The connection to a pool's MongoDB: its collections, indexes and clock, and what is tried again."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from pymongo import IndexModel, MongoClient, ReadPreference, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, PyMongoError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern

from messaging.errors import StoreUnavailable, UnsupportedUri

Document: TypeAlias = dict[str, Any]
T = TypeVar("T")

DATABASE = "coffer"
MESSAGES = "coffer_messages"
CONNECT_MS = 5000
ANSWER_MS = 20_000
PAUSES = (0.05, 0.2, 0.5, 0.0)
ONCE = (0.0,)
# Acknowledged means: in the journal, of a majority where there are several.
DURABLE = WriteConcern("majority", j=True, wtimeout=CONNECT_MS)
NOW = {"$toLong": "$$NOW"}
"""The server's clock in milliseconds, the same all over one command."""

_INDEXES = [
    IndexModel([("queue", 1), ("seq", 1)], unique=True),
    # Only messages that are or were claimed have the field.
    IndexModel([("claim", 1)], sparse=True),
    IndexModel([("expires", 1)]),
]
_log = logging.getLogger(__name__)


class Server:
    def __init__(self, uri: str) -> None:
        try:
            # What is safe to repeat is decided here, not by the client library.
            self._client: MongoClient[Document] = MongoClient(
                uri,
                retryWrites=False,
                retryReads=False,
                tz_aware=True,
                serverSelectionTimeoutMS=CONNECT_MS,
                connectTimeoutMS=CONNECT_MS,
                socketTimeoutMS=ANSWER_MS,
            )
            database = self._client.get_default_database(DATABASE)
        except PyMongoError:
            # The parser's own words may quote the URI with its password.
            raise UnsupportedUri("The URI of the pool is malformed.") from None
        settings: Any = {
            "read_preference": ReadPreference.PRIMARY,
            "read_concern": ReadConcern("local"),
            "write_concern": DURABLE,
        }
        self.messages: Collection[Document] = database.get_collection(MESSAGES, **settings)
        self.queues: Collection[Document] = database.get_collection("coffer_queues", **settings)
        self.store: Collection[Document] = database.get_collection("coffer_store", **settings)
        self._indexed = False
        self._indexing = threading.Lock()

    def now(self) -> int:
        """The server's clock, milliseconds."""
        return round(float(self._client.admin.command("hello")["localTime"].timestamp()) * 1000)

    def close(self) -> None:
        self._client.close()

    def run(self, work: Callable[[], T], pauses: Sequence[float] = PAUSES) -> T:
        """Tried again when the connection broke: so give `ONCE` for what must not be done twice.  Raises StoreUnavailable."""
        for pause in pauses:
            try:
                self._make_indexes()
                return work()
            except PyMongoError as e:
                passing = isinstance(e, AutoReconnect) and not isinstance(e, ServerSelectionTimeoutError)
                if not passing or not pause:
                    raise told(e) from None
            time.sleep(pause)
        raise AssertionError("the last attempt raises")

    def _make_indexes(self) -> None:
        if self._indexed:
            return
        with self._indexing:
            if not self._indexed:
                # Those that are there already are left alone.
                self.messages.create_indexes(_INDEXES)
                self.queues.create_index([("posts.token", 1)])
                self._indexed = True


def told(error: PyMongoError) -> StoreUnavailable:
    """Only the kind and the code are told: the rest would quote messages."""
    code = getattr(error, "code", None)
    _log.warning("a message store failed: %s %s", type(error).__name__, code or "")
    return StoreUnavailable(f"The message store gives no answer ({type(error).__name__}).")
