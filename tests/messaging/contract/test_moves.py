"""Records of queues: fences against late comers, and carrying a queue from any kind of store to any other."""

from collections.abc import Iterator

import pytest

from messaging import moving
from messaging.drivers.base import Fenced, QueueKey, Selection, Store
from messaging.drivers.registry import open_store
from messaging.moving import carry_over
from tests.messaging.conftest import STORES, Urls
from tests.messaging.support import backdate, bodies, claim, new, patience, post

EVERYTHING = Selection(limit=2000, include_claimed=True, include_delayed=True)


def after(key: QueueKey, by: int = 1) -> QueueKey:
    return QueueKey(key.project, key.name, key.generation + by)


@pytest.fixture(scope="module", params=STORES)
def target_url(request: pytest.FixtureRequest, urls: Urls) -> str:
    return urls(request.param)


@pytest.fixture(scope="module")
def target(target_url: str) -> Iterator[Store]:
    target = open_store(target_url)
    yield target
    target.close()


def test_opening_again_keeps_what_is_there(store: Store, key: QueueKey) -> None:
    post(store, key, "kept")
    store.open_queue(key)
    assert bodies(store.select(key, EVERYTHING)) == ["kept"]


def test_a_newer_placement_begins_empty_and_shuts_out_the_older(store: Store, key: QueueKey) -> None:
    post(store, key, "old")
    store.open_queue(after(key))
    assert store.select(after(key), EVERYTHING) == []
    for late in (store.open_queue, store.seal_queue, store.stats):
        with pytest.raises(Fenced):
            late(key)
    store.drop_queue(key)
    post(store, after(key), "new")
    assert bodies(store.select(after(key), EVERYTHING)) == ["new"]


def test_a_dropped_queue_stays_dropped(store: Store, key: QueueKey) -> None:
    post(store, key, "gone")
    store.drop_queue(key)
    store.drop_queue(key)
    for late in (store.open_queue, store.seal_queue, store.finish_import, lambda k: store.begin_import(k, 0)):
        with pytest.raises(Fenced):
            late(key)


def test_dropping_before_it_was_opened_keeps_the_opener_out(store: Store, key: QueueKey) -> None:
    late = QueueKey(key.project, f"{key.name}-late", 5)
    store.drop_queue(late)
    with pytest.raises(Fenced):
        store.open_queue(late)


def test_a_sealed_queue_can_be_read_by_the_mover_only(store: Store, key: QueueKey) -> None:
    ids = post(store, key, *range(3))
    assert store.seal_queue(key) == store.seal_queue(key) == int(ids[-1][:16], 16)
    assert [r.body for r in store.export(key, 0, 2)] == ["0", "1"]
    assert [r.body for r in store.export(key, int(ids[1][:16], 16), 2)] == ["2"]
    for call in (store.open_queue, store.stats, store.purge, lambda k: post(store, k, 1), lambda k: claim(store, k, 1)):
        with pytest.raises(Fenced):
            call(key)


def test_an_imported_queue_is_closed_until_it_is_complete(store: Store, key: QueueKey) -> None:
    there = after(key)
    assert store.begin_import(there, 5)
    assert store.begin_import(there, 5)
    for call in (store.stats, store.open_queue, store.seal_queue, lambda k: post(store, k, 1)):
        with pytest.raises(Fenced):
            call(there)
    store.finish_import(there)
    store.finish_import(there)
    assert not store.begin_import(there, 5)
    with pytest.raises(Fenced):
        store.import_records(there, [])
    assert int(post(store, there, "next")[0][:16], 16) > 5


def test_a_queue_moves_with_everything(store: Store, store_url: str, key: QueueKey, target: Store, target_url: str) -> None:
    ids = list(post(store, key, *range(3)))
    [held] = claim(store, key, 1, "before")
    store.post(key, [new("delayed")], "you")
    store.delete(key, ids[1], None)
    backdate(store_url, key, 10)
    there = after(key)
    carry_over(store, key, target, there)
    assert bodies(target.select(there, EVERYTHING)) == [0, 2, "delayed"]
    assert bodies(target.select(there, Selection(without_client="me"))) == ["delayed"]
    kept = target.get_claim(there, "before")
    assert (kept.ttl, [m.id for m in kept.messages]) == (60, [held.id])
    assert 10 <= kept.age <= 30
    assert bodies(claim(target, there, 5, "after")) == [2, "delayed"]
    assert post(target, there, "next")[0] > ids[-1]
    target.delete(there, held.id, "before")
    backdate(target_url, there, 51)
    assert bodies(claim(target, there, 5)) == ["next"]
    with pytest.raises(Fenced):
        store.stats(key)


def test_movers_can_stop_anywhere_and_come_again(store: Store, key: QueueKey, target: Store) -> None:
    post(store, key, *range(4))
    there = after(key)
    last = store.seal_queue(key)
    target.begin_import(there, last)
    target.import_records(there, store.export(key, 0, 2))
    slow = store.export(key, 0, 4)
    target.import_records(there, store.export(key, 0, 3))
    carry_over(store, key, target, there)
    target.delete_many(there, [m.id for m in target.select(there, EVERYTHING)][:2], None)
    with pytest.raises(Fenced):
        target.import_records(there, slow)
    with pytest.raises(Fenced):
        store.export(key, 0, 4)
    assert bodies(target.select(there, EVERYTHING)) == [2, 3]


def test_a_long_queue_moves_in_batches(
    store: Store, store_url: str, key: QueueKey, target: Store, target_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = moving.BATCH // max(patience(store_url), patience(target_url))
    monkeypatch.setattr(moving, "BATCH", batch)
    many = range(batch * 12 // 5 + 1)
    post(store, key, *many)
    carry_over(store, key, target, after(key))
    assert bodies(target.select(after(key), EVERYTHING)) == list(many)
