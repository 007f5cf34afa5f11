"""Stores to test on: SQLite, and real PostgreSQL, MariaDB and Redis, and a MongoDB, each started once."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from messaging.drivers.base import QueueKey, Store
from messaging.drivers.registry import open_store
from messaging.service import Messaging
from migrations import runner
from models import Database
from security.keyring import Keyring
from tests.support.databases import empty_database, mariadb, postgresql
from tests.support.mongodbserver import available, empty_mongodb, mongodb_url
from tests.support.redisserver import redis_url

SERVERS: dict[str, Callable[[], AbstractContextManager[str]]] = {
    "postgresql": postgresql,
    "mariadb": mariadb,
    "redis": redis_url,
    **({"mongodb": mongodb_url} if available() else {}),
}
STORES = ["sqlite", *(pytest.param(name, marks=pytest.mark.engines) for name in SERVERS)]
Urls = Callable[[str], str]

_numbers = itertools.count(1)
_redis_databases = itertools.count()


@pytest.fixture(scope="session")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Urls]:
    """Gives the URI of a new, empty store of a kind."""
    with ExitStack() as running:
        started: dict[str, str] = {}

        def new(kind: str) -> str:
            if kind == "sqlite":
                return f"sqlite:///{tmp_path_factory.mktemp('store')}/pool.db"
            if kind not in started:
                started[kind] = running.enter_context(SERVERS[kind]())
            if kind == "redis":
                return f"{started[kind].rpartition('/')[0]}/{next(_redis_databases)}"
            return running.enter_context((empty_mongodb if kind == "mongodb" else empty_database)(started[kind]))

        yield new


@pytest.fixture(scope="session", params=STORES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def store_url(urls: Urls, kind: str) -> str:
    return urls(kind)


@pytest.fixture(scope="session")
def store(store_url: str) -> Iterator[Store]:
    store = open_store(store_url)
    yield store
    store.close()


@pytest.fixture
def key(store: Store) -> QueueKey:
    """An open queue that no other test uses."""
    key = QueueKey("project", f"queue-{next(_numbers)}", 1)
    store.open_queue(key)
    return key


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A control plane's database that nobody has used yet."""
    path = tmp_path_factory.mktemp("migrated") / "coffer.db"
    runner.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def database(migrated: Path, tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{shutil.copy(migrated, tmp_path)}")
    yield database
    database.close()


@pytest.fixture
def keyring() -> Keyring:
    return Keyring({"one": b"1" * 32})


@pytest.fixture
def messaging(database: Database, keyring: Keyring) -> Iterator[Messaging]:
    messaging = Messaging(database, keyring)
    yield messaging
    messaging.close()


@pytest.fixture
def new_pool(messaging: Messaging, urls: Urls) -> Callable[..., str]:
    """Registers a pool on a new store; gives its name."""

    def make(name: str, kind: str = "sqlite", **values: object) -> str:
        messaging.pools.put(name, {"uri": urls(kind), "weight": 100, **values})
        return name

    return make
