"""Collecting the messages of all queues of a project: the same on every store."""

import itertools
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from messaging.drivers.base import Gathered, QueueKey, Store
from messaging.moving import carry_over
from tests.messaging.support import backdate, bodies, claim, draft, patience, post

_numbers = itertools.count(1)


@pytest.fixture
def project(store: Store) -> str:
    """One that no other test uses."""
    return f"collected:{{{next(_numbers)}}}"


def queue(store: Store, project: str, name: str, *given: Any) -> QueueKey:
    key = QueueKey(project, name, 7)
    store.open_queue(key)
    if given:
        post(store, key, *given)
    return key


def parsed(gathered: Iterable[Gathered]) -> list[tuple[str, Any]]:
    return sorted(((one.queue, json.loads(one.body)) for one in gathered), key=str)


def test_all_queues_of_the_project_are_gathered_in_order(store: Store, project: str) -> None:
    one, two = queue(store, project, "one"), queue(store, project, "two.-_")
    ids = {(key.name, n): post(store, key, n)[0] for n in range(3) for key in (one, two)}
    queue(store, f"{project}-other", "one", "foreign")
    queue(store, project, "empty")
    gathered = store.gather(project, 100)
    assert parsed(gathered) == [("one", 0), ("one", 1), ("one", 2), ("two.-_", 0), ("two.-_", 1), ("two.-_", 2)]
    for name in ("one", "two.-_"):
        assert [json.loads(g.body) for g in gathered if g.queue == name] == [0, 1, 2]
    assert {(g.queue, json.loads(g.body)): g.id for g in gathered} == ids
    assert {g.generation for g in gathered} == {7}


def test_nothing_is_taken_away_or_held(store: Store, project: str) -> None:
    key = queue(store, project, "kept", {"nested": [1, "Käse"]}, "second")
    assert store.gather(project, 10) == store.gather(project, 10)
    assert bodies(claim(store, key, 5)) == [{"nested": [1, "Käse"]}, "second"]


def test_the_age_is_in_whole_seconds(store: Store, store_url: str, project: str) -> None:
    key = queue(store, project, "aged", "old")
    backdate(store_url, key, 42)
    post(store, key, "new")
    old, new = (g.age for g in store.gather(project, 10))
    assert 42 <= old <= 62
    assert 0 <= new <= 20


def test_only_free_messages_are_gathered(store: Store, store_url: str, project: str) -> None:
    key = queue(store, project, "mixed", "claimed", "free")
    claim(store, key, 1)
    store.post(key, [draft("delayed", 3600, 60), draft("short", 60, 0)], "me")
    assert parsed(store.gather(project, 10)) == [("mixed", "free"), ("mixed", "short")]
    backdate(store_url, key, 61)
    assert parsed(store.gather(project, 10)) == [("mixed", "claimed"), ("mixed", "delayed"), ("mixed", "free")]


def test_a_flooded_queue_cannot_starve_the_rest(store: Store, project: str) -> None:
    queue(store, project, "flood", *range(200))
    for n in range(9):
        queue(store, project, f"calm-{n}", n)
    gathered = store.gather(project, 40)
    assert {g.queue for g in gathered} == {"flood", *(f"calm-{n}" for n in range(9))}
    assert [json.loads(g.body) for g in gathered if g.queue == "flood"] == [0, 1, 2, 3]


def test_with_more_queues_than_the_limit_each_comes_to_its_turn(store: Store, store_url: str, project: str) -> None:
    for n in range(12):
        queue(store, project, f"many-{n}", *range(300 // patience(store_url)))
    seen: Counter[str] = Counter()
    for _ in range(200):
        gathered = store.gather(project, 5)
        assert len({g.queue for g in gathered}) == len(gathered) == 5
        seen.update(g.queue for g in gathered)
        if len(seen) == 12:
            break
    assert len(seen) == 12


def test_discarded_messages_are_gone(store: Store, project: str) -> None:
    keys = [queue(store, project, f"gone-{n}", *range(3)) for n in range(3)]
    claim(store, keys[0], 1, "mine")
    gathered = [g for g in store.gather(project, 100) if json.loads(g.body) < 2]
    claim(store, keys[1], 1, "late")
    assert store.discard(project, gathered) == len(gathered) == 5
    assert store.discard(project, gathered) == 0
    assert store.discard(project, []) == 0
    assert parsed(store.gather(project, 100)) == [(f"gone-{n}", 2) for n in range(3)]
    store.release_claim(keys[0], "mine")
    assert parsed(store.gather(project, 100))[0] == ("gone-0", 0)
    assert [store.stats(key).total for key in keys] == [2, 1, 1]


def test_only_what_was_gathered_is_discarded(store: Store, store_url: str, project: str) -> None:
    key = queue(store, project, "exact", "wanted", "kept")
    wanted, kept = store.gather(project, 10)
    for wrong in (
        replace(wanted, generation=6),
        replace(wanted, generation=8),
        replace(wanted, queue="other"),
        replace(wanted, id="nonsense"),
        replace(wanted, id=wanted.id[:-8] + kept.id[-8:-1] + "x"),
    ):
        assert store.discard(project, [wrong]) == 0
    assert store.discard(f"{project}-other", [wanted]) == 0
    assert len(store.gather(project, 10)) == 2
    backdate(store_url, key, 3600)
    assert store.discard(project, [wanted]) == 0


def test_a_queue_that_was_emptied_is_gathered_again_when_it_is_posted_to(store: Store, project: str) -> None:
    key = queue(store, project, "again")
    for n in range(3):
        post(store, key, n)
        gathered = store.gather(project, 10)
        assert parsed(gathered) == [("again", n)]
        assert store.discard(project, gathered) == 1
        assert store.gather(project, 10) == []


def test_closed_and_dropped_queues_are_passed_over(store: Store, project: str) -> None:
    sealed, dropped, purged = (queue(store, project, name, 1) for name in ("sealed", "dropped", "purged"))
    outstanding = store.gather(project, 10)
    store.seal_queue(sealed)
    store.drop_queue(dropped)
    store.purge(purged)
    assert store.gather(project, 10) == []
    assert store.discard(project, outstanding) == 0
    assert [r.body for r in store.export(sealed, 0, 10)] == ["1"]


def test_a_queue_made_anew_keeps_what_was_gathered_from_its_former_self_out(store: Store, project: str) -> None:
    key = queue(store, project, "renewed", "old")
    old = store.gather(project, 10)
    store.open_queue(replace(key, generation=8))
    assert store.gather(project, 10) == []
    post(store, replace(key, generation=8), "new")
    assert store.discard(project, old) == 0
    assert [(g.generation, g.body) for g in store.gather(project, 10)] == [(8, '"new"')]


def test_a_moved_queue_is_gathered_at_its_new_place_only(store: Store, project: str) -> None:
    key = queue(store, project, "moved", *range(3))
    before = store.gather(project, 10)
    there = replace(key, project=f"{project}-new", generation=9)
    carry_over(store, key, store, there)
    assert store.gather(project, 10) == []
    assert store.discard(project, before) == 0
    after = store.gather(there.project, 10)
    assert [(g.generation, g.id) for g in after] == [(9, g.id) for g in before]
    assert store.discard(there.project, after) == 3


def test_thousands_at_once(store: Store, store_url: str, project: str) -> None:
    deep = 100 // patience(store_url)
    for n in range(30):
        queue(store, project, f"deep-{n}", *range(deep))
    gathered = store.gather(project, 30 * deep)
    assert len(gathered) == 30 * deep
    assert store.discard(project, gathered) == 30 * deep
    assert store.gather(project, 30 * deep) == []
