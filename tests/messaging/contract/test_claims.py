"""Claims: exclusive in every driver, whatever happens around them."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from messaging.drivers.base import ClaimTerms, QueueKey, Selection, Store, dead_claim
from messaging.drivers.registry import open_store
from messaging.errors import ClaimNotFound
from tests.messaging.support import backdate, bodies, claim, draft, post


def test_a_claim_holds_the_first_free_messages(store: Store, key: QueueKey) -> None:
    post(store, key, *range(5))
    assert bodies(claim(store, key, 2, "a")) == [0, 1]
    assert bodies(claim(store, key, 2, "b")) == [2, 3]
    assert bodies(claim(store, key, 2, "c")) == [4]
    assert claim(store, key, 2, "d") == ()
    found = store.get_claim(key, "a")
    assert (found.id, found.ttl, found.age, bodies(found.messages)) == ("a", 60, 0, [0, 1])
    assert {(m.claim_id, m.claim_count) for m in found.messages} == {("a", 1)}


def test_a_released_message_does_not_drag_others_along(store: Store, key: QueueKey) -> None:
    post(store, key, *range(4))
    claim(store, key, 1, "first")
    claim(store, key, 1, "second")
    store.release_claim(key, "first")
    assert bodies(claim(store, key, 3, "third")) == [0, 2, 3]
    assert bodies(store.get_claim(key, "second").messages) == [1]


def test_released_messages_come_back_in_their_place(store: Store, key: QueueKey) -> None:
    post(store, key, *range(4))
    claim(store, key, 2, "a")
    store.release_claim(key, "a")
    store.release_claim(key, "a")
    store.release_claim(key, "unknown")
    with pytest.raises(ClaimNotFound):
        store.get_claim(key, "a")
    again = claim(store, key, 3, "b")
    assert [(m.body, m.claim_count) for m in again] == [(0, 2), (1, 2), (2, 1)]


def test_a_claim_ends_with_its_time(store: Store, store_url: str, key: QueueKey) -> None:
    post(store, key, *range(2))
    claim(store, key, 1, "a")
    backdate(store_url, key, 61)
    for gone in (lambda: store.get_claim(key, "a"), lambda: store.renew_claim(key, "a", 60, 60)):
        with pytest.raises(ClaimNotFound):
            gone()
    assert bodies(store.select(key, Selection())) == [0, 1]
    assert [(m.body, m.claim_id, m.claim_count) for m in claim(store, key, 5, "b")] == [(0, "b", 2), (1, "b", 1)]
    store.release_claim(key, "a")
    assert len(store.get_claim(key, "b").messages) == 2


def test_a_renewed_claim_lasts(store: Store, store_url: str, key: QueueKey) -> None:
    post(store, key, *range(2))
    claim(store, key, 1, "a")
    store.renew_claim(key, "a", 300, 60)
    backdate(store_url, key, 120)
    found = store.get_claim(key, "a")
    assert (found.ttl, found.age, bodies(found.messages)) == (300, 120, [0])
    assert found.messages[0].claim_count == 1
    assert bodies(claim(store, key, 5)) == [1]
    store.renew_claim(key, "a", 60, 60)
    assert store.get_claim(key, "a").age == 0


def test_a_message_outlives_the_claim_by_its_grace(store: Store, store_url: str, key: QueueKey) -> None:
    store.post(key, [draft("short", 60, 0), draft("long", 3600, 0)], "me")
    held = store.claim(key, ClaimTerms("a", 300, 120, 2)).messages
    assert [(m.body, m.ttl) for m in held] == [("short", 420), ("long", 3600)]
    backdate(store_url, key, 299)
    assert bodies(store.get_claim(key, "a").messages) == ["short", "long"]
    backdate(store_url, key, 2)
    assert bodies(store.select(key, Selection())) == ["short", "long"]
    backdate(store_url, key, 120)
    assert bodies(store.select(key, Selection())) == ["long"]


def test_a_claim_without_messages_is_no_more(store: Store, key: QueueKey) -> None:
    [only] = post(store, key, "only")
    claim(store, key, 1, "a")
    store.delete(key, only, "a")
    with pytest.raises(ClaimNotFound):
        store.get_claim(key, "a")
    with pytest.raises(ClaimNotFound):
        store.get_claim(key, "never")


def test_messages_claimed_too_often_are_given_as_dead(store: Store, key: QueueKey) -> None:
    post(store, key, "worn", "worn too")
    for number in range(2):
        claim(store, key, 2, f"try-{number}", max_claims=2)
        store.release_claim(key, f"try-{number}")
    post(store, key, "fresh", "fresh too")
    third = store.claim(key, ClaimTerms("third", 60, 60, 2, 2))
    assert bodies(third.messages) == ["fresh", "fresh too"]
    assert bodies(third.dead) == ["worn", "worn too"]
    assert {m.claim_id for m in third.dead} == {dead_claim("third")}
    assert claim(store, key, 5, max_claims=2) == ()
    assert store.delete_many(key, [m.id for m in third.dead], [dead_claim("third")]) == 2
    assert bodies(store.get_claim(key, "third").messages) == ["fresh", "fresh too"]


def test_no_two_claimers_get_the_same_message(store_url: str, store: Store, key: QueueKey) -> None:
    post(store, key, *range(200))
    start = threading.Barrier(8)

    def work(number: int) -> list[str]:
        mine = open_store(store_url) if number % 2 else store
        start.wait(30)
        got: list[str] = []
        for turn in range(200):
            messages = claim(mine, key, 1 + turn % 7, f"{number}-{turn}")
            if not messages and store.stats(key).free == 0:
                break
            got += [m.id for m in messages]
        if mine is not store:
            mine.close()
        return got

    with ThreadPoolExecutor(8) as pool:
        taken = Counter(one for got in pool.map(work, range(8)) for one in got)
    assert len(taken) == 200
    assert set(taken.values()) == {1}


def test_no_two_pops_get_the_same_message(store: Store, key: QueueKey) -> None:
    post(store, key, *range(200))

    def work(_number: int) -> list[int]:
        got: list[int] = []
        while store.stats(key).free:
            got += bodies(store.pop(key, 3))
        return got

    with ThreadPoolExecutor(6) as pool:
        taken = sorted(n for got in pool.map(work, range(6)) for n in got)
    assert taken == list(range(200))


def test_posts_at_once_all_get_a_place_of_their_own(store: Store, key: QueueKey) -> None:
    with ThreadPoolExecutor(6) as pool:
        ids = [one for some in pool.map(lambda n: post(store, key, n, n), range(60)) for one in some]
    listed = store.select(key, Selection(limit=200))
    assert [m.id for m in listed] == sorted(set(ids))
    assert len(listed) == 120
    # A batch is never mixed with another.
    assert all(first.body == second.body for first, second in zip(listed[::2], listed[1::2], strict=True))
