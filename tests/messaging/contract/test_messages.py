"""What every storage driver does with messages: the same on all of them."""

import pytest

from messaging.drivers.base import ClaimTerms, Fenced, QueueKey, Selection, Store
from messaging.errors import BadClaim, MessageClaimed
from tests.messaging.support import backdate, bodies, claim, draft, new, patience, post


def test_messages_come_back_as_they_went_in_and_in_order(store: Store, key: QueueKey) -> None:
    sent = [{"n": 1, "nested": [None, True, 1.5, "Käse 🧀\x00\\"]}, [1], "text", 0, None, {}]
    ids = store.post(key, [draft(body, 300, 0) for body in sent], "me")
    found = store.select(key, Selection())
    assert bodies(found) == sent
    assert [m.id for m in found] == list(ids) == sorted(ids)
    assert {(m.ttl, m.age, m.claim_id, m.claim_count) for m in found} == {(300, 0, None, 0)}


def test_the_order_goes_on_from_post_to_post(store: Store, key: QueueKey) -> None:
    ids = [one for n in range(5) for one in post(store, key, n, n)]
    assert ids == sorted(set(ids))
    assert bodies(store.select(key, Selection(limit=20))) == [n for n in range(5) for n in (n, n)]


def test_a_marker_holds_when_its_message_is_gone(store: Store, key: QueueKey) -> None:
    ids = post(store, key, *range(5))
    store.delete(key, ids[2], None)
    assert bodies(store.select(key, Selection(after=int(ids[2][:16], 16)))) == [3, 4]


def test_a_queue_made_again_continues_behind_its_former_self(store: Store, key: QueueKey) -> None:
    old = post(store, key, "old")
    store.drop_queue(key)
    again = QueueKey(key.project, key.name, key.generation + 1)
    store.open_queue(again)
    assert bodies(store.select(again, Selection(include_claimed=True, include_delayed=True))) == []
    assert post(store, again, "new")[0] > old[0]


def test_the_limit_counts_what_is_shown(store: Store, key: QueueKey) -> None:
    for n in range(30):
        store.post(key, [new(n)], "me" if n % 3 else "you")
    shown = store.select(key, Selection(limit=5, without_client="me"))
    assert bodies(shown) == [0, 3, 6, 9, 12]
    assert bodies(store.select(key, Selection(limit=4, after=int(shown[-1].id[:16], 16), without_client="me"))) == [
        15,
        18,
        21,
        24,
    ]


def test_claimed_and_delayed_messages_are_shown_when_asked_for(store: Store, key: QueueKey) -> None:
    store.post(key, [new("claimed"), new("free"), draft("delayed", 300, 60)], "me")
    claim(store, key, 1)
    assert bodies(store.select(key, Selection())) == ["free"]
    assert bodies(store.select(key, Selection(include_claimed=True))) == ["claimed", "free"]
    assert bodies(store.select(key, Selection(include_delayed=True))) == ["free", "delayed"]
    assert bodies(store.select(key, Selection(include_claimed=True, include_delayed=True))) == ["claimed", "free", "delayed"]


def test_messages_by_id(store: Store, key: QueueKey) -> None:
    ids = post(store, key, *range(4))
    absent = "0" * 24
    assert bodies(store.get(key, [ids[3], ids[1], absent, "nonsense", ids[1]])) == [1, 3]
    assert store.get(key, []) == []


def test_a_message_is_found_through_its_own_queue_and_project_only(store: Store, key: QueueKey) -> None:
    [wanted] = post(store, key, "secret")
    for other in (QueueKey("other", key.name, 1), QueueKey(key.project, f"{key.name}-other", 1)):
        store.open_queue(other)
        assert store.get(other, [wanted]) == []
        store.delete(other, wanted, None)
        assert store.delete_many(other, [wanted], None) == 0
        assert store.select(other, Selection()) == []
        assert store.pop(other, 5) == []
    assert bodies(store.get(key, [wanted])) == ["secret"]


def test_projects_and_queues_cannot_be_mistaken_for_each_other(store: Store) -> None:
    pairs = [
        ("a:b", "c"),
        ("a", "b:c".replace(":", ".")),
        ("a}", "c"),
        ("{a", "c"),
        ("a", "c"),
        ("A", "c"),
        ("ä", "c"),
        ("a%", "c"),
    ]
    keys = [QueueKey(project, name, 1) for project, name in pairs]
    for key in keys:
        store.open_queue(key)
        post(store, key, key.project)
    for key in keys:
        assert bodies(store.select(key, Selection())) == [key.project]
        store.drop_queue(key)


def test_delete_minds_claims(store: Store, key: QueueKey) -> None:
    held, free = post(store, key, "held", "free")
    mine = claim(store, key, 1)[0].claim_id
    assert mine
    with pytest.raises(MessageClaimed):
        store.delete(key, held, None)
    with pytest.raises(MessageClaimed):
        store.delete(key, held, "other")
    with pytest.raises(BadClaim):
        store.delete(key, free, mine)
    store.delete(key, free, None)
    store.delete(key, held, mine)
    for absent in (held, free, "nonsense"):
        store.delete(key, absent, None)
        store.delete(key, absent, mine)
    assert store.stats(key).total == 0


def test_delete_with_a_claim_that_has_ended(store: Store, store_url: str, key: QueueKey) -> None:
    [wanted] = post(store, key, "late")
    [held] = claim(store, key, 1)
    backdate(store_url, key, 61)
    with pytest.raises(BadClaim):
        store.delete(key, wanted, held.claim_id)
    assert bodies(store.select(key, Selection())) == ["late"]


def test_delete_many(store: Store, key: QueueKey) -> None:
    ids = post(store, key, *range(6))
    mine = claim(store, key, 2)[0].claim_id
    theirs = claim(store, key, 2)[0].claim_id
    assert mine
    assert theirs
    assert store.delete_many(key, [*ids, "nonsense"], [mine]) == 2
    assert store.delete_many(key, ids, [mine, "other"]) == 0
    assert store.delete_many(key, ids, []) == 0
    assert store.delete_many(key, [ids[2], ids[5], ids[5]], None) == 2
    assert bodies(store.select(key, Selection(include_claimed=True))) == [3, 4]


def test_pop_takes_free_messages_in_order(store: Store, key: QueueKey) -> None:
    store.post(key, [new("claimed"), new(1), draft("delayed", 300, 60), new(2), new(3)], "me")
    claim(store, key, 1)
    assert bodies(store.pop(key, 2)) == [1, 2]
    assert bodies(store.pop(key, 5)) == [3]
    assert store.pop(key, 5) == []
    assert store.stats(key).total == 2


def test_expired_messages_are_gone_everywhere(store: Store, store_url: str, key: QueueKey) -> None:
    [short] = store.post(key, [draft("short", 60, 0)], "me")
    store.post(key, [draft("long", 3600, 0)], "me")
    backdate(store_url, key, 61)
    assert store.get(key, [short]) == []
    assert bodies(store.select(key, Selection(include_claimed=True, include_delayed=True))) == ["long"]
    assert store.delete_many(key, [short], None) == 0
    assert bodies(claim(store, key, 5)) == ["long"]
    assert store.stats(key).total == 1


def test_a_delayed_message_comes_in_its_place_when_it_is_due(store: Store, store_url: str, key: QueueKey) -> None:
    store.post(key, [draft("delayed", 3600, 60), draft("plain", 3600, 0)], "me")
    assert bodies(claim(store, key, 5)) == ["plain"]
    assert store.pop(key, 5) == []
    backdate(store_url, key, 61)
    assert bodies(store.select(key, Selection())) == ["delayed", "plain"]
    assert bodies(store.pop(key, 1)) == ["delayed"]


def test_sweep_removes_what_has_expired(store: Store, store_url: str, key: QueueKey) -> None:
    store.post(key, [draft(n, 60, 0) for n in range(7)], "me")
    while store.sweep():
        pass
    backdate(store_url, key, 61)
    assert store.sweep(1000) == 7
    assert store.sweep(1000) == 0


def test_stats(store: Store, key: QueueKey) -> None:
    empty = store.stats(key)
    assert (empty.total, empty.free, empty.claimed, empty.oldest, empty.newest) == (0, 0, 0, None, None)
    ids = post(store, key, *range(5))
    claim(store, key, 2)
    stats = store.stats(key)
    assert (stats.total, stats.free, stats.claimed) == (5, 3, 2)
    assert stats.oldest
    assert stats.newest
    assert (stats.oldest.id, stats.newest.id) == (ids[0], ids[-1])
    assert stats.oldest.created > 1_700_000_000


def test_purge_keeps_the_queue_and_its_order(store: Store, key: QueueKey) -> None:
    before = post(store, key, *range(3))
    claim(store, key, 1)
    store.purge(key)
    assert store.stats(key).total == 0
    assert post(store, key, "after")[0] > before[-1]
    assert bodies(claim(store, key, 5)) == ["after"]


def test_identity_is_the_stores_own(store: Store, store_url: str) -> None:
    assert store.identity() == store.identity() != ""


def test_a_large_batch_is_all_there(store: Store, store_url: str, key: QueueKey) -> None:
    many = 1500 // patience(store_url)
    ids = store.post(key, [new("x" * 1000) for _ in range(many)], "me")
    assert len(set(ids)) == many
    held = store.claim(key, ClaimTerms("large", 60, 60, many)).messages
    assert [m.id for m in held] == list(ids)
    assert len(store.get_claim(key, "large").messages) == many
    assert store.delete_many(key, ids, ["large"]) == many


def test_nothing_works_under_another_generation(store: Store, key: QueueKey) -> None:
    for wrong in (QueueKey(key.project, key.name, 0), QueueKey(key.project, key.name, 2), QueueKey(key.project, "absent", 1)):
        for call in (
            lambda k: store.post(k, [new(1)], "me"),
            lambda k: store.select(k, Selection()),
            lambda k: store.get(k, ["0" * 24]),
            lambda k: store.delete(k, "0" * 24, None),
            lambda k: store.delete_many(k, ["0" * 24], None),
            lambda k: store.pop(k, 1),
            lambda k: store.claim(k, ClaimTerms("c", 60, 60, 1)),
            lambda k: store.get_claim(k, "c"),
            lambda k: store.renew_claim(k, "c", 60, 60),
            lambda k: store.release_claim(k, "c"),
            lambda k: store.stats(k),
            lambda k: store.purge(k),
        ):
            with pytest.raises(Fenced):
                call(wrong)
