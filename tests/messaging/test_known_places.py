"""What a process knows of queues and pools without asking SQL, for how long, and how it learns that it is wrong."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from messaging.errors import InvalidRequest, StoreUnavailable
from messaging.service import Draft, Messaging, MetadataChange
from models import Database
from security.keyring import Keyring
from tests.messaging.conftest import Urls

GUESTS, TENANT = "guests", "tenant"
PERIOD = 10.0
NewPool = Callable[..., str]


class Clock:
    """Goes on when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("messaging.catalogue.time", clock)
    monkeypatch.setattr("messaging.stores.time", clock)
    return clock


@pytest.fixture
def api(database: Database, keyring: Keyring, clock: Clock) -> Iterator[Messaging]:
    """As another process has it: the API."""
    api = Messaging(database, keyring, constant=[GUESTS])
    yield api
    api.close()


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)


def report(api: Messaging, queue: str) -> None:
    api.messages.post(GUESTS, queue, [Draft({"v": 1}, 300)], "guest", size=400, create=False)


def test_guests_that_post_every_period_cost_no_sql_but_one_look_at_the_pools(
    api: Messaging, messaging: Messaging, new_pool: NewPool, database: Database, clock: Clock
) -> None:
    new_pool("one")
    queues = [f"q{number}" for number in range(20)]
    for queue in queues:
        messaging.queues.put(GUESTS, queue)
        report(api, queue)
    for _ in range(30):
        clock.now += PERIOD
        with statements(database) as seen:
            for queue in queues:
                report(api, queue)
        assert len(seen) == 1
        assert "messaging_pools" in seen[0]
        assert "messaging_queues" not in seen[0]


def test_a_moved_queue_is_found_at_once_however_long_its_place_was_known(
    api: Messaging, messaging: Messaging, new_pool: NewPool
) -> None:
    new_pool("one")
    new_pool("two", flavor="fast")
    messaging.flavors.put("fast", ["two"])
    messaging.queues.put(GUESTS, "q")
    report(api, "q")
    messaging.queues.patch(GUESTS, "q", [MetadataChange("replace", "_flavor", "fast")])
    report(api, "q")
    assert [gathered.queue for gathered in messaging.collector.gather("two", GUESTS, 10)] == ["q", "q"]
    assert not messaging.collector.gather("one", GUESTS, 10)


def test_a_tenants_change_of_metadata_is_noticed_after_two_seconds(
    api: Messaging, messaging: Messaging, new_pool: NewPool, clock: Clock
) -> None:
    new_pool("one")
    api.messages.post(TENANT, "q", [Draft("long")], "me", size=400)
    messaging.queues.patch(TENANT, "q", [MetadataChange("replace", "_max_messages_post_size", 100)])
    clock.now += 2.1
    with pytest.raises(InvalidRequest, match="100 bytes"):
        api.messages.post(TENANT, "q", [Draft("long")], "me", size=400)


def test_a_pools_new_uri_is_noticed_after_two_seconds(
    api: Messaging, messaging: Messaging, urls: Urls, database: Database, clock: Clock
) -> None:
    uri = urls("sqlite")
    messaging.pools.put("one", {"uri": uri, "weight": 1})
    messaging.queues.put(GUESTS, "q")
    report(api, "q")
    before = api.stores.of("one", 0)
    messaging.pools.patch("one", {"uri": f"{uri}?timeout=3"})
    clock.now += 2.1
    report(api, "q")
    assert api.stores.of("one", 0) is not before


def test_a_queue_that_left_a_store_before_that_went_away_is_found_after_one_failure(
    api: Messaging, messaging: Messaging, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_pool("old")
    messaging.queues.put(GUESTS, "q")
    report(api, "q")
    messaging.queues.delete(GUESTS, "q")
    messaging.pools.delete("old")
    new_pool("new")
    messaging.queues.put(GUESTS, "q")

    def away(*_: object) -> list[str]:
        raise StoreUnavailable("The message store gives no answer.")

    monkeypatch.setattr(api.stores.of("old", 0), "post", away)
    with pytest.raises(StoreUnavailable):
        report(api, "q")
    report(api, "q")
    assert len(messaging.collector.gather("new", GUESTS, 10)) == 1


def test_guests_are_heard_while_sql_is_away(
    api: Messaging, messaging: Messaging, new_pool: NewPool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_pool("one")
    messaging.queues.put(GUESTS, "q")
    report(api, "q")
    clock.now += PERIOD

    def away() -> Iterator[None]:
        raise OperationalError("SELECT", {}, Exception("away"))

    with monkeypatch.context() as outage:
        outage.setattr(Database, "read", lambda _self: away())
        report(api, "q")
    assert len(messaging.collector.gather("one", GUESTS, 10)) == 2
