"""An event is there exactly if its change was committed, in the order of the commits, whoever changes and delivers at once."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress

import pytest
from sqlalchemy import func, select

from models import Instance, OutboxRow
from models.event import forget
from models.event_types import RENAMED
from models.outbox import Event, record
from tests.events.conftest import Crash, Desk, names


def test_what_is_rolled_back_is_not_told(desk: Desk) -> None:
    desk.subscribe()
    instance_id = desk.instance()
    for number in range(1, 11):
        with suppress(Crash):
            desk.rename(instance_id, str(number), fail=number % 3 == 0)
    while desk.delivery.round():
        continue
    news = desk.news()
    assert names(news) == ["1", "2", "4", "5", "7", "8", "10"]
    assert [event["sequence"] for event in news] == list(range(1, 8))


def test_changes_at_once_are_told_in_the_order_of_their_commits(desk: Desk) -> None:
    """Each event names what it found: a chain without a break.  Two deliver at a time, as when a worker was only thought dead."""
    desk.subscribe()
    instances = [desk.instance() for _ in range(2)]
    done = threading.Event()

    def change(thread: int) -> None:
        for number in range(15):
            with suppress(Crash):
                desk.rename(instances[number % 2], f"{thread}-{number}", fail=(thread + number) % 4 == 0)

    def deliver(_number: int) -> None:
        own = desk.deliverer()
        while own.round() or not done.is_set():
            continue

    with ThreadPoolExecutor(8) as pool:
        delivering = [pool.submit(deliver, n) for n in range(2)]
        for future in [pool.submit(change, n) for n in range(6)]:
            future.result(60)
        done.set()
        for future in delivering:
            future.result(60)
    while desk.delivery.round():
        continue
    news = {event["id"]: event for event in reversed(desk.news())}  # the first of those told twice
    first = sorted(news.values(), key=lambda event: event["sequence"])
    for instance_id in instances:
        own = [event for event in first if event["instance"]["id"] == instance_id]
        assert [event["sequence"] for event in own] == list(range(1, len(own) + 1))
        assert [event["payload"]["old_name"] for event in own] == ["0", *names(own)[:-1]]
        with desk.database.read() as s:
            assert s.get_one(Instance, instance_id).name == names(own)[-1]
    assert len(news) == sum((thread + number) % 4 != 0 for thread in range(6) for number in range(15))


def test_the_order_in_the_queue_is_that_of_the_instance(desk: Desk) -> None:
    desk.subscribe()
    instances = [desk.instance() for _ in range(3)]
    stop = threading.Event()

    def deliver() -> None:
        while desk.delivery.round() or not stop.is_set():
            continue

    def change(instance_id: str) -> None:
        for number in range(20):
            desk.rename(instance_id, str(number + 1))

    with ThreadPoolExecutor(4) as pool:
        delivering = pool.submit(deliver)
        wait([pool.submit(change, id) for id in instances])
        stop.set()
        delivering.result(60)
    news = desk.news()
    for instance_id in instances:
        assert [e["sequence"] for e in news if e["instance"]["id"] == instance_id] == list(range(1, 21))


@pytest.mark.engines
@pytest.mark.parametrize("server", ["postgresql", "mariadb"], indirect=True)
def test_who_commits_late_is_not_passed_over(desk: Desk) -> None:
    """The row's number was drawn before those that are delivered first."""
    desk.subscribe()
    early, late = desk.instance(), desk.instance()
    with desk.database.write() as s:
        instance = s.get_one(Instance, early)
        record(s, instance, [Event(RENAMED, {"name": "drawn first"})])
        desk.rename(late, "committed first")
        assert desk.delivery.round() == 1
        assert desk.delivery.round() == 0
    assert desk.delivery.round() == 1
    assert names(desk.news()) == ["committed first", "drawn first"]


@pytest.mark.engines
@pytest.mark.parametrize("server", ["postgresql", "mariadb"], indirect=True)
def test_a_change_goes_through_although_its_subscription_ends_meanwhile(desk: Desk) -> None:
    id, instance_id = desk.subscribe(), desk.instance()
    with desk.database.write() as s:
        record(s, s.get_one(Instance, instance_id), [Event(RENAMED, {"name": "x"})])
        with desk.database.write() as other:
            assert forget(other, id)
    assert _rows(desk) == 1
    assert desk.delivery.wanted()
    assert desk.delivery.round() == 0
    desk.delivery.sweep()
    assert _rows(desk) == 0
    assert not desk.delivery.wanted()


def test_an_event_shows_the_instance_as_it_is_when_it_is_committed(desk: Desk) -> None:
    """And not as the transaction saw it before somebody else's change."""
    desk.subscribe()
    instance_id = desk.instance()
    with desk.database.read() as s:
        before = s.get_one(Instance, instance_id)
    desk.rename(instance_id, "new")
    with desk.database.write() as s:
        record(s, before, [Event(RENAMED, {"name": "again"})])
    desk.delivery.round()
    assert [event["instance"]["name"] for event in desk.news()] == ["new", "new"]


def test_a_number_is_no_change_for_the_tenant(desk: Desk) -> None:
    desk.subscribe()
    instance_id = desk.instance()
    with desk.database.write() as s:
        instance = s.get_one(Instance, instance_id)
        updated = instance.updated_at
        record(s, instance, [Event(RENAMED, {"name": "x"})])
    with desk.database.read() as s:
        found = s.get_one(Instance, instance_id)
    assert (found.updated_at, found.event_sequence) == (updated, 1)


def test_a_commit_rings_and_a_rollback_does_not(desk: Desk) -> None:
    rung: list[str] = []
    desk.database.when_committed("outbox", lambda: rung.append("rung"))
    instance_id = desk.instance()
    desk.rename(instance_id, "nobody wants to know")
    desk.subscribe()
    with suppress(Crash):
        desk.rename(instance_id, "x", fail=True)
    assert rung == []
    desk.rename(instance_id, "x")
    assert rung == ["rung"]


def _rows(desk: Desk) -> int:
    with desk.database.read() as s:
        return s.scalar(select(func.count()).select_from(OutboxRow)) or 0
