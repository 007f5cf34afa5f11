"""When a message can be claimed: what waiting requests ask of every store."""

import pytest

from messaging.drivers.base import QueueKey, Store
from tests.messaging.support import backdate, claim, draft, post


def due(store: Store, key: QueueKey) -> float | None:
    return store.due([key]).get(key)


def test_a_free_message_is_due_now(store: Store, key: QueueKey) -> None:
    assert due(store, key) is None
    post(store, key, 1)
    assert due(store, key) == 0
    claim(store, key, 1, "mine")
    post(store, key, 2)
    assert due(store, key) == 0


def test_a_delayed_message_is_due_when_its_delay_has_passed(store: Store, store_url: str, key: QueueKey) -> None:
    store.post(key, [draft("late", 3600, 90), draft("sooner", 3600, 60)], "me")
    assert due(store, key) == pytest.approx(60, abs=10)
    backdate(store_url, key, 59)
    assert 0 <= (due(store, key) or 0) <= 1
    backdate(store_url, key, 2)
    assert due(store, key) == 0


def test_a_claimed_message_is_due_when_the_claim_ends(store: Store, store_url: str, key: QueueKey) -> None:
    post(store, key, 1, 2)
    claim(store, key, 1, "first")
    claim(store, key, 1, "second")
    assert due(store, key) == pytest.approx(60, abs=10)
    store.renew_claim(key, "first", 300, 60)
    store.renew_claim(key, "second", 200, 60)
    assert due(store, key) == pytest.approx(200, abs=10)
    store.release_claim(key, "first")
    assert due(store, key) == 0


def test_nothing_is_due_in_a_queue_that_is_empty_closed_or_another(store: Store, store_url: str, key: QueueKey) -> None:
    store.post(key, [draft("brief", 60, 0)], "me")
    assert store.due([QueueKey(key.project, key.name, 2), QueueKey("other", key.name, 1)]) == {}
    assert store.due([]) == {}
    backdate(store_url, key, 61)
    assert due(store, key) is None
    post(store, key, 1)
    store.seal_queue(key)
    assert due(store, key) is None


def test_many_queues_of_many_projects_in_one_call(store: Store) -> None:
    keys = [QueueKey(f"waits-{n % 3}", f"queue-{n}", 1) for n in range(12)]
    for n, key in enumerate(keys):
        store.open_queue(key)
        if n % 2:
            post(store, key, n)
    assert store.due(keys) == dict.fromkeys(keys[1::2], 0)
