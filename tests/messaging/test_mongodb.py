"""What only MongoDB can leave half done, since it has no transactions here: whoever comes next finds it and ends it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from messaging.drivers.base import ClaimTerms, Fenced, QueueKey, Selection
from messaging.drivers.mongodb import documents, places
from messaging.drivers.mongodb.store import MongoStore
from tests.messaging.conftest import SERVERS, Urls
from tests.messaging.support import backdate, bodies, claim, draft, post

pytestmark = [pytest.mark.engines, pytest.mark.parametrize("kind", [name for name in SERVERS if name == "mongodb"])]
KEY = QueueKey("project", "queue", 1)
THERE = QueueKey("project", "there", 2)


@pytest.fixture
def url(urls: Urls, kind: str) -> str:
    return urls(kind)


@pytest.fixture
def store(url: str) -> Iterator[MongoStore]:
    store = MongoStore(url)
    store.open_queue(KEY)
    yield store
    store.close()


def dying_post(store: MongoStore, monkeypatch: pytest.MonkeyPatch, given: list[object], *, noted: bool) -> None:
    """A post whose process dies when its messages are written, just before or just after the post is noted."""
    note = places.note

    def die(*arguments: Any) -> int:
        if noted:
            note(*arguments)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(places, "note", die)
        with pytest.raises(SystemExit):
            store.post(KEY, [draft(body) for body in given], "me")


@pytest.mark.parametrize(
    "look",
    [
        lambda store: bodies(store.select(KEY, Selection())),
        lambda store: bodies(claim(store, KEY, 5)),
        lambda store: bodies(store.pop(KEY, 5)),
        lambda store: list(range(store.stats(KEY).total)),
        lambda store: [int(one.body) for one in store.gather(KEY.project, 5)],
        lambda store: [0, 1] if store.due([KEY]) == {KEY: 0} else [],
        lambda store: [int(one.body) for one in store.export(KEY, store.seal_queue(KEY) - 2, 5)],
    ],
)
def test_a_post_that_was_noted_is_ended_by_whoever_comes(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch, look: Callable[[MongoStore], list[int]]
) -> None:
    dying_post(store, monkeypatch, [0, 1], noted=True)
    assert look(store) == [0, 1]


def test_a_post_that_was_not_noted_never_was(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    dying_post(store, monkeypatch, ["never"], noted=False)
    assert store.stats(KEY).total == 0
    assert store.gather(KEY.project, 5) == []
    post(store, KEY, "next")
    assert bodies(store.select(KEY, Selection())) == ["next"]
    store._server.messages.update_many({"body": '"never"'}, {"$set": {"expires": 1}})
    assert store.sweep() == 1


def test_a_post_that_meets_a_seal_leaves_nothing(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = places.note

    def seal_first(*given: Any) -> int:
        store.seal_queue(KEY)
        return noted(*given)

    monkeypatch.setattr(places, "note", seal_first)
    with pytest.raises(Fenced):
        post(store, KEY, "late")
    assert store.export(KEY, 0, 5) == []
    assert store._server.messages.count_documents({}) == 0


def test_a_claim_that_meets_a_seal_moves_with_the_queue(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    post(store, KEY, 0, 1)
    checked = places.check

    def seal_first(*given: Any) -> None:
        store.seal_queue(KEY)
        checked(*given)

    monkeypatch.setattr(places, "check", seal_first)
    with pytest.raises(Fenced):
        store.claim(KEY, ClaimTerms("mine", 60, 60, 1))
    assert [(r.body, r.claim_id) for r in store.export(KEY, 0, 5)] == [("0", "mine"), ("1", None)]


def test_from_its_mark_on_a_message_cannot_be_changed(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    [wanted] = post(store, KEY, "kept")
    place = places.enter(store._server, KEY)
    store.seal_queue(KEY)
    monkeypatch.setattr(places, "enter", lambda *_given: place)
    for late in (
        lambda: store.delete(KEY, wanted, None),
        lambda: store.delete_many(KEY, [wanted], None),
        lambda: store.pop(KEY, 1),
        lambda: claim(store, KEY, 1),
        lambda: store.purge(KEY),
    ):
        with pytest.raises(Fenced):
            late()
    assert [r.claim_id for r in store.export(KEY, 0, 5)] == [None]


def test_a_seal_that_was_cut_off_is_completed(store: MongoStore) -> None:
    post(store, KEY, 0, 1)
    place = places.record(store._server, KEY)
    assert place
    store._server.queues.update_one({"_id": place.id}, {"$set": {"state": places.SEALING}})
    with pytest.raises(Fenced):
        store.export(KEY, 0, 5)
    assert store.seal_queue(KEY) == place.last
    assert [r.body for r in store.export(KEY, 0, 5)] == ["0", "1"]


def test_an_import_that_was_cut_off_while_opening_is_completed(store: MongoStore) -> None:
    post(store, KEY, 0)
    last = store.seal_queue(KEY)
    store.begin_import(THERE, last)
    store.import_records(THERE, store.export(KEY, 0, 5))
    store._server.queues.update_one({"name": "there"}, {"$set": {"state": places.OPENING}})
    assert not store.begin_import(THERE, last)
    assert bodies(store.select(THERE, Selection())) == [0]


def test_what_a_late_importer_writes_is_never_seen(store: MongoStore, url: str) -> None:
    [wanted] = post(store, KEY, "gone")
    last = store.seal_queue(KEY)
    records = store.export(KEY, 0, 5)
    store.begin_import(THERE, last)
    store.import_records(THERE, records)
    importing = places.record(store._server, THERE)
    assert importing
    store.finish_import(THERE)
    store.delete(THERE, wanted, None)
    late = documents.imported(importing.queue, records[0], importing.now)
    store._server.messages.insert_one(late)
    store.finish_import(THERE)
    assert store.stats(THERE).total == 0
    assert store.gather("project", 5) == []
    backdate(url, THERE, 3601)
    assert store.sweep() == 1
