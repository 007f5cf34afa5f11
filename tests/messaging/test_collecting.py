"""Collecting through `Messaging`: by the pool's name, over a queue's move."""

from collections.abc import Callable

import pytest

from messaging.errors import NoPool
from messaging.service import Draft, Messaging
from messaging.values import MetadataChange


@pytest.fixture
def two_pools(messaging: Messaging, new_pool: Callable[..., str]) -> None:
    new_pool("plain")
    new_pool("other")
    messaging.flavors.put("fast", ["other"])


def test_a_pool_is_collected_by_its_name(messaging: Messaging, two_pools: None) -> None:
    messaging.queues.put("guests", "one", {"_flavor": "fast"})
    for queue in ("one", "two"):
        messaging.messages.post("guests", queue, [Draft({"from": queue})], "me")
    assert messaging.pools.names() == ["other", "plain"]
    found = {pool: messaging.collector.gather(pool, "guests", 10) for pool in messaging.pools.names()}
    assert {pool: [(g.queue, g.body) for g in gathered] for pool, gathered in found.items()} == {
        "other": [("one", '{"from":"one"}')],
        "plain": [("two", '{"from":"two"}')],
    }
    assert [messaging.collector.discard(pool, "guests", gathered) for pool, gathered in found.items()] == [1, 1]
    assert messaging.queues.stats("guests", "one").total == messaging.queues.stats("guests", "two").total == 0


def test_a_queue_that_moves_between_gathering_and_discarding_keeps_its_messages(messaging: Messaging, two_pools: None) -> None:
    messaging.messages.post("guests", "mover", [Draft(1)], "me")
    gathered = messaging.collector.gather("plain", "guests", 10)
    messaging.queues.patch("guests", "mover", [MetadataChange("add", "_flavor", "fast")])
    assert messaging.collector.discard("plain", "guests", gathered) == 0
    assert [g.id for g in messaging.collector.gather("other", "guests", 10)] == [g.id for g in gathered]


def test_a_deleted_queue_leaves_nothing_to_discard(messaging: Messaging, two_pools: None) -> None:
    messaging.messages.post("guests", "brief", [Draft(1)], "me")
    gathered = messaging.collector.gather("plain", "guests", 10)
    messaging.queues.delete("guests", "brief")
    assert messaging.collector.discard("plain", "guests", gathered) == 0
    assert messaging.collector.gather("plain", "guests", 10) == []


def test_an_unknown_pool_is_told(messaging: Messaging) -> None:
    with pytest.raises(NoPool):
        messaging.collector.gather("absent", "guests", 10)
