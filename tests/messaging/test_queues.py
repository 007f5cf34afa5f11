"""Queues: where they are put, how they move, and that nothing of them is left behind."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from messaging import metadata as meta
from messaging.errors import (
    ClaimNotFound,
    InvalidRequest,
    MessageNotFound,
    MetadataConflict,
    NoPool,
    QueueCannotMove,
    QueueNotFound,
    StoreUnavailable,
    UnknownFlavor,
)
from messaging.service import Draft, Messaging, MetadataChange
from models import CatalogueRow, Database
from security.keyring import Keyring
from tests.messaging.conftest import STORES

NewPool = Callable[..., str]
P = "project"


def flavored(flavor: str | None) -> list[MetadataChange]:
    return [MetadataChange("replace", "_flavor", flavor)]


def pool_of(database: Database, name: str) -> str:
    with database.read() as s:
        return s.get_one(CatalogueRow, (P, name)).pool


def bodies(messaging: Messaging, name: str) -> list[object]:
    page = messaging.messages.list(P, name, limit=1000, echo=True, include_claimed=True, include_delayed=True)
    return [m.body for m in page.items]


def test_a_queue_is_made_once(messaging: Messaging, new_pool: NewPool) -> None:
    new_pool("one")
    assert messaging.queues.put(P, "q", {"colour": "red"})
    assert not messaging.queues.put(P, "q", {"colour": "blue"})
    assert messaging.queues.get(P, "q").metadata == {"colour": "red"}
    with pytest.raises(QueueNotFound):
        messaging.queues.get("other", "q")


def test_a_queue_made_by_many_at_once_is_made_once(messaging: Messaging, new_pool: NewPool) -> None:
    new_pool("one")
    start = threading.Barrier(6)

    def put(_number: int) -> bool:
        start.wait(10)
        return messaging.queues.put(P, "q")

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(put, range(6))) == 1


def test_what_does_not_exist(messaging: Messaging) -> None:
    assert messaging.queues.stats(P, "q").total == 0
    assert messaging.messages.list(P, "q").items == ()
    assert messaging.messages.pop(P, "q", 5) == ()
    assert messaging.claims.create(P, "q") is None
    messaging.queues.delete(P, "q")
    messaging.queues.purge(P, "q")
    messaging.messages.delete(P, "q", "0" * 24)
    messaging.claims.release(P, "q", "c")
    for call in (lambda: messaging.claims.get(P, "q", "c"), lambda: messaging.claims.renew(P, "q", "c")):
        with pytest.raises(ClaimNotFound):
            call()
    with pytest.raises(MessageNotFound):
        messaging.messages.get(P, "q", "0" * 24)
    with pytest.raises(QueueNotFound):
        messaging.queues.patch(P, "q", flavored("f"))


@pytest.mark.parametrize("name", ["", "a/b", "x" * 65, "ä", "a b", "a\n"])
def test_what_a_queue_cannot_be_called(messaging: Messaging, name: str) -> None:
    with pytest.raises(InvalidRequest):
        messaging.queues.put(P, name)


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        "text",
        {"_default_message_ttl": 59},
        {"_default_message_ttl": "60"},
        {"_default_message_delay": 901},
        {"_max_messages_post_size": 0},
        {"_max_claim_count": 0},
        {"_max_claim_count": True},
        {"_dead_letter_queue": 5},
        {"_dead_letter_queue_messages_ttl": 1},
        {"_enable_encrypt_messages": True},
        {"_retry_policy": 1},
        {"_flavor": 1},
        {"_flavor": "unknown"},
    ],
)
def test_what_metadata_cannot_be(messaging: Messaging, new_pool: NewPool, metadata: object) -> None:
    new_pool("one")
    with pytest.raises(InvalidRequest):
        messaging.queues.put(P, "q", metadata)


def test_metadata_changes_step_by_step(messaging: Messaging, new_pool: NewPool) -> None:
    new_pool("one")
    messaging.queues.put(P, "q", {"a": 1, "b": 2})
    changed = messaging.queues.patch(
        P,
        "q",
        [
            MetadataChange("replace", "a", {"deep": True}),
            MetadataChange("remove", "b"),
            MetadataChange("add", "c", None),
            MetadataChange("remove", "_max_claim_count"),
            MetadataChange("replace", "_default_message_ttl", 120),
        ],
    )
    assert changed.metadata == {"a": {"deep": True}, "c": None, "_default_message_ttl": 120}
    for op in ("replace", "remove"):
        with pytest.raises(MetadataConflict):
            messaging.queues.patch(P, "q", [MetadataChange("add", "d", 1), MetadataChange(op, "absent", 1)])
    with pytest.raises(InvalidRequest):
        messaging.queues.patch(P, "q", [MetadataChange("move", "a", 1)])
    assert messaging.queues.get(P, "q").metadata == changed.metadata


def test_lists(messaging: Messaging, new_pool: NewPool) -> None:
    new_pool("one")
    for name in ("b", "a%", "a_1", "ab", "c"):
        messaging.queues.put(P, name.replace("%", "."), {"colour": "red"} if name != "c" else {"colour": 1})
    messaging.queues.put("other", "z")
    first = messaging.queues.list(P, limit=2)
    assert [q.name for q in first.page.items] == ["a.", "a_1"]
    assert first.count is None
    assert [q.name for q in messaging.queues.list(P, first.page.marker).page.items] == ["ab", "b", "c"]
    assert [q.name for q in messaging.queues.list(P, name="_").page.items] == ["a_1"]
    red = messaging.queues.list(P, limit=1, metadata={"colour": "red"}, with_count=True)
    assert ([q.name for q in red.page.items], red.count) == (["a."], 4)
    assert messaging.queues.list(P, metadata={"colour": "1"}).page.items == ()


def test_defaults_of_the_queue(messaging: Messaging, new_pool: NewPool) -> None:
    new_pool("one")
    messaging.queues.put(P, "q", {meta.TTL: 120, meta.DELAY_KEY: 60})
    ids = messaging.messages.post(P, "q", [Draft("plain"), Draft("own", ttl=300, delay=0)], "me")
    shown = messaging.messages.list(P, "q", echo=True, include_delayed=True).items
    assert [(m.id, m.ttl) for m in shown] == [(ids[0], 120), (ids[1], 300)]
    assert [m.body for m in messaging.messages.list(P, "q", client="you").items] == ["own"]
    assert messaging.messages.list(P, "q", client="me").items == ()
    for bad in (Draft(1, ttl=59), Draft(1, ttl=1209601), Draft(1, delay=901), Draft(1, ttl=True), Draft({1, 2})):
        with pytest.raises(InvalidRequest):
            messaging.messages.post(P, "q", [Draft("good"), bad], "me")
    assert len(messaging.messages.list(P, "q", echo=True, include_delayed=True).items) == 2


def test_a_plain_queue_stays_off_flavored_pools(messaging: Messaging, new_pool: NewPool, database: Database) -> None:
    new_pool("special", flavor="fast")
    with pytest.raises(NoPool):
        messaging.queues.put(P, "q")
    new_pool("plain", flavor="")
    for n in range(10):
        messaging.queues.put(P, f"q{n}")
    assert {pool_of(database, f"q{n}") for n in range(10)} == {"plain"}


def test_weights(messaging: Messaging, new_pool: NewPool, database: Database) -> None:
    for name, weight in (("never", 0), ("rare", 1), ("often", 9)):
        new_pool(name, weight=weight)
    messaging.flavors.put("fast", ["never", "rare", "often"])
    for n in range(200):
        messaging.queues.put(P, f"q{n}", {"_flavor": "fast"})
    chosen = Counter(pool_of(database, f"q{n}") for n in range(200))
    assert chosen["never"] == 0
    # The odds against either of these are above a billion to one.
    assert 1 <= chosen["rare"] <= 60
    messaging.flavors.patch("fast", ["never"])
    with pytest.raises(NoPool):
        messaging.queues.put(P, "none", {"_flavor": "fast"})
    with pytest.raises(QueueNotFound):
        messaging.queues.get(P, "none")


@pytest.mark.parametrize("target", STORES)
def test_a_new_flavor_moves_the_queue_with_its_messages(
    messaging: Messaging, new_pool: NewPool, database: Database, target: str
) -> None:
    new_pool("from")
    new_pool("to", target, flavor="fast")
    messaging.flavors.put("fast", ["to"])
    ids = messaging.messages.post(P, "q", [Draft(n) for n in range(6)], "me")
    claim = messaging.claims.create(P, "q", limit=2)
    assert claim
    messaging.queues.patch(P, "q", flavored("fast"))
    assert pool_of(database, "q") == "to"
    assert bodies(messaging, "q") == list(range(6))
    messaging.messages.delete(P, "q", ids[0], claim.id)
    assert [m.body for m in messaging.claims.get(P, "q", claim.id).messages] == [1]
    assert messaging.messages.post(P, "q", [Draft("next")], "me")[0] > ids[-1]
    messaging.queues.patch(P, "q", flavored(""))
    assert pool_of(database, "q") == "from"
    assert bodies(messaging, "q") == [1, 2, 3, 4, 5, "next"]
    messaging.pools.patch("to", {"weight": 1})
    messaging.flavors.delete("fast")
    messaging.pools.delete("to")


def test_metadata_alone_never_moves_a_queue(messaging: Messaging, new_pool: NewPool, database: Database) -> None:
    new_pool("one", flavor="fast")
    new_pool("two")
    messaging.flavors.put("fast", ["one"])
    messaging.queues.put(P, "q", {"_flavor": "fast"})
    messaging.messages.post(P, "q", [Draft("kept")], "me")
    messaging.flavors.delete("fast")
    for n in range(5):
        messaging.queues.patch(P, "q", [MetadataChange("add", "n", n)])
    assert pool_of(database, "q") == "one"
    assert bodies(messaging, "q") == ["kept"]


def test_a_queue_that_cannot_move_stays_as_it_was(messaging: Messaging, new_pool: NewPool) -> None:
    new_pool("one")
    new_pool("full", weight=0)
    messaging.flavors.put("fast", ["full"])
    messaging.messages.post(P, "q", [Draft("kept")], "me")
    with pytest.raises(QueueCannotMove):
        messaging.queues.patch(P, "q", flavored("fast"))
    with pytest.raises(UnknownFlavor):
        messaging.queues.patch(P, "q", flavored("unknown"))
    assert messaging.queues.get(P, "q").metadata == {}
    assert bodies(messaging, "q") == ["kept"]


def test_another_process_notices_a_move_and_a_deletion_at_once(
    messaging: Messaging, new_pool: NewPool, database: Database, keyring: Keyring
) -> None:
    new_pool("one")
    new_pool("two", flavor="fast")
    messaging.flavors.put("fast", ["two"])
    stale = Messaging(database, keyring, cache_seconds=3600)
    stale.messages.post(P, "q", [Draft("first")], "me")
    messaging.queues.patch(P, "q", flavored("fast"))
    stale.messages.post(P, "q", [Draft("second")], "me")
    assert bodies(messaging, "q") == bodies(stale, "q") == ["first", "second"]
    messaging.queues.delete(P, "q")
    assert bodies(stale, "q") == []
    stale.messages.post(P, "q", [Draft("anew")], "me")
    assert bodies(messaging, "q") == ["anew"]
    stale.close()


class Dies(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", ["seal_queue", "begin_import", "export", "import_records", "finish_import", "drop_queue"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_move_is_finished_by_whoever_comes_next(
    messaging: Messaging, new_pool: NewPool, database: Database, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    new_pool("from")
    new_pool("to", flavor="fast")
    messaging.flavors.put("fast", ["to"])
    messaging.messages.post(P, "q", [Draft(n) for n in range(3)], "me")
    store = type(messaging.stores.current("to"))
    real = getattr(store, step)

    def dies(*args: object) -> object:
        if when == "after":
            real(*args)
        raise Dies

    monkeypatch.setattr(store, step, dies)
    with pytest.raises(Dies):
        messaging.queues.patch(P, "q", flavored("fast"))
    monkeypatch.undo()
    with pytest.raises(Exception, match="There are queues"):
        messaging.pools.delete("from")
    assert messaging.queues.get(P, "q").metadata == {"_flavor": "fast"}
    assert bodies(messaging, "q") == [0, 1, 2]
    assert pool_of(database, "q") == "to"
    messaging.pools.delete("from")


def test_posts_during_moves_are_all_there(messaging: Messaging, new_pool: NewPool, database: Database, keyring: Keyring) -> None:
    new_pool("one", flavor="a")
    new_pool("two", flavor="b")
    messaging.flavors.put("a", ["one"])
    messaging.flavors.put("b", ["two"])
    messaging.queues.put(P, "q", {"_flavor": "a"})
    done = threading.Event()

    def produce(number: int) -> list[str]:
        mine = Messaging(database, keyring, cache_seconds=3600)
        sent: list[str] = []
        while not done.is_set():
            sent += mine.messages.post(P, "q", [Draft(number)], "me")
        mine.close()
        return sent

    with ThreadPoolExecutor(3) as pool:
        sending = [pool.submit(produce, n) for n in range(3)]
        try:
            for flavor in ("b", "a") * 4:
                messaging.queues.patch(P, "q", flavored(flavor))
        finally:
            done.set()
        sent = {one for future in sending for one in future.result()}
    page = messaging.messages.list(P, "q", limit=100_000, echo=True)
    assert {m.id for m in page.items} == sent
    assert sent


def test_a_deletion_is_finished_by_whoever_comes_next(
    messaging: Messaging, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_pool("one")
    messaging.messages.post(P, "q", [Draft("old")], "me")
    store = type(messaging.stores.current("one"))

    def away(*_args: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(store, "drop_queue", away)
    with pytest.raises(StoreUnavailable):
        messaging.queues.delete(P, "q")
    assert messaging.queues.list(P).page.items == ()
    monkeypatch.undo()
    assert messaging.queues.put(P, "q")
    assert bodies(messaging, "q") == []


def test_a_crash_between_row_and_record_is_mended(
    messaging: Messaging, new_pool: NewPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_pool("one")
    store = type(messaging.stores.current("one"))

    def dies(*_args: object) -> None:
        raise Dies

    monkeypatch.setattr(store, "open_queue", dies)
    with pytest.raises(Dies):
        messaging.queues.put(P, "q")
    monkeypatch.undo()
    messaging.messages.post(P, "q", [Draft("first")], "me")
    assert bodies(messaging, "q") == ["first"]


@pytest.mark.parametrize("kind", STORES)
def test_dead_letters(messaging: Messaging, new_pool: NewPool, database: Database, kind: str) -> None:
    new_pool("one", kind)
    metadata = {meta.MAX_CLAIMS: 2, meta.DEAD_LETTERS: "dead", meta.DEAD_LETTERS_TTL: 120}
    messaging.queues.put(P, "q", metadata)
    messaging.messages.post(P, "q", [Draft({"n": 1}, ttl=600)], "me")
    for _ in range(2):
        claim = messaging.claims.create(P, "q")
        assert claim
        messaging.claims.release(P, "q", claim.id)
    assert messaging.claims.create(P, "q") is None
    assert messaging.queues.stats(P, "q").total == 0
    [letter] = messaging.messages.list(P, "dead").items
    assert (letter.body, letter.ttl, letter.claim_id, letter.claim_count) == ({"n": 1}, 120, None, 0)


def test_dead_letters_reach_a_queue_in_another_pool(messaging: Messaging, new_pool: NewPool, database: Database) -> None:
    new_pool("one", flavor="fast")
    new_pool("two")
    messaging.flavors.put("fast", ["one"])
    messaging.queues.put(P, "dead")
    messaging.queues.put(P, "q", {"_flavor": "fast", meta.MAX_CLAIMS: 1, meta.DEAD_LETTERS: "dead"})
    messaging.messages.post(P, "q", [Draft("a"), Draft("b")], "me")
    first = messaging.claims.create(P, "q")
    assert first
    messaging.claims.release(P, "q", first.id)
    messaging.messages.post(P, "q", [Draft("fresh")], "me")
    second = messaging.claims.create(P, "q")
    assert second
    assert [m.body for m in second.messages] == ["fresh"]
    assert bodies(messaging, "dead") == ["a", "b"]
    assert pool_of(database, "dead") == "two"


@pytest.mark.parametrize(("ttl", "grace"), [(59, 60), (43201, 60), (60, 59), (60, 43201)])
def test_what_a_claim_cannot_last(messaging: Messaging, ttl: int, grace: int) -> None:
    with pytest.raises(InvalidRequest):
        messaging.claims.create(P, "q", ttl, grace)
    with pytest.raises(InvalidRequest):
        messaging.claims.renew(P, "q", "c", ttl, grace)


def test_sweep_goes_through_all_pools(messaging: Messaging, new_pool: NewPool) -> None:
    new_pool("one")
    new_pool("two")
    assert messaging.sweep() == {"one": 0, "two": 0}
