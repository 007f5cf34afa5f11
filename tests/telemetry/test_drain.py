"""The drain on real stores, a batch at a time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

import config
from activities.drain import DrainActivities, Tally
from activities.messages import MessageActivities
from messaging.bell import Bell
from messaging.service import Messaging
from messaging.signing import signer_of
from messaging.values import Draft
from models import Base, Database, EventSubscription, Instance, MessagingCounter, OutboxRow
from models.base import new_id, utcnow
from security import keyring
from telemetry.urls import GuestUrls, queue_of
from tests.support.redisserver import redis_url
from tests.telemetry.reporting import engine, instances, report, rows
from workflows.contracts import Duty, Operation

PROJECT, POOL = "coffer-guests", "default"
NOBODY: Client = None  # type: ignore[assignment]
"""No report here ends a job that somebody waits for."""


@pytest.fixture(scope="module", params=["sqlite", pytest.param("redis", marks=pytest.mark.engines)])
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "sqlite":
        yield ""
        return
    with redis_url() as url:
        yield url


class Post:
    """A control plane's database with two guests, and a pool for what they say."""

    def __init__(self, directory: Path, store: str) -> None:
        self.database = Database(f"sqlite:///{directory}/coffer.db")
        Base.metadata.create_all(self.database.engine)
        with self.database.write() as s:
            s.add_all([MessagingCounter(name=name, value=0) for name in ("generation", "placement")])
        keys = keyring.create(directory / "keyring.json")
        self.messaging = Messaging(self.database, keys)
        self.messaging.pools.put(POOL, {"uri": store or f"sqlite:///{directory}/pool.db", "weight": 1})
        self.queues = MessageActivities(self.database, self.messaging, PROJECT, "")
        urls = GuestUrls(config.load(), signer_of(keys))
        self.drain = DrainActivities(self.database, self.messaging, NOBODY, urls, Bell(directory / "bell"))
        self.one, self.other = sorted((new_id(), new_id()))
        instances(self.database, self.one, self.other)
        for instance_id in (self.one, self.other):
            self.queues.create_queue(Operation("op", instance_id, "project"))

    def say(self, instance_id: str, *bodies: object) -> None:
        self.messaging.messages.post(PROJECT, queue_of(instance_id), [Draft(body) for body in bodies], "guest")

    def drained(self) -> Tally:
        tally = Tally()
        while asyncio.run(self.drain.batch(POOL, tally)) is not None:
            pass
        return tally

    def left(self) -> int:
        return sum(self.messaging.queues.stats(PROJECT, queue_of(id)).total for id in (self.one, self.other))

    def close(self) -> None:
        for instance_id in (self.one, self.other):
            self.queues.delete_queue(Operation("op", instance_id, "project"))
        self.messaging.close()
        self.database.close()


@pytest.fixture
def post(tmp_path: Path, store: str) -> Iterator[Post]:
    post = Post(tmp_path, store)
    yield post
    post.close()


def test_the_newest_of_each_guest_is_kept(post: Post) -> None:
    post.say(post.one, *(report(post.one, number) for number in range(1, 6)))
    post.say(post.other, report(post.other, 2, engine=engine("blocked")), report(post.other, 1))
    tally = post.drained()
    found = rows(post.database)
    assert {id: (row.number, row.engine_state) for id, row in found.items()} == {
        post.one: (5, "running"),
        post.other: (2, "blocked"),
    }
    assert (tally.counts["messages"], post.left()) == (7, 0)
    assert (utcnow() - found[post.one].received_at).total_seconds() < 10


def test_no_change_of_the_engine_is_passed_over(post: Post) -> None:
    """It hung and went on before anybody looked; no heartbeat between is written."""
    with post.database.write() as s:
        s.add(EventSubscription(project_id="project", queue="news", ttl=3600, types=["instance.*"]))
    post.say(post.one, report(post.one, 1))
    post.drained()
    post.say(post.one, report(post.one, 2))
    post.drained()
    post.say(post.one, report(post.one, 3), report(post.one, 4, engine=engine("blocked"), reason="engine"))
    post.say(post.one, report(post.one, 5, engine=engine("blocked")), report(post.one, 6, reason="engine"), report(post.one, 7))
    assert post.drained().counts["written"] == 3
    with post.database.read() as s:
        told = s.scalars(select(OutboxRow.body).order_by(OutboxRow.id)).all()
    assert [(event["type"], event["payload"]["state"]) for event in told] == [
        ("instance.engine_down", "blocked"),
        ("instance.engine_up", "running"),
    ]
    assert rows(post.database)[post.one].number == 7


def test_what_is_stale_replayed_malformed_or_forged_changes_nothing(post: Post) -> None:
    post.say(post.one, report(post.one, 5, 2))
    post.drained()
    kept = rows(post.database)[post.one]
    stopped = engine("stopped")
    post.say(
        post.one,
        report(post.one, 5, 2, engine=stopped),
        report(post.one, 4, 2, engine=stopped),
        report(post.one, 99, 1, engine=stopped),
        report(post.other, 99, 99, engine=stopped),
        report(post.one, 6, 2, engine={"state": "no state"}),
        {"v": 1},
        "words",
        [],
        None,
        7,
    )
    tally = post.drained()
    assert {id: row.number for id, row in rows(post.database).items()} == {post.one: 5}
    assert rows(post.database)[post.one].received_at == kept.received_at
    assert (tally.counts["malformed"], tally.counts["forged"], post.left()) == (6, 1, 0)


def test_a_good_report_among_bad_ones_counts(post: Post) -> None:
    post.say(post.one, "x", report(post.one, 1), report(post.one, 2, load=None), {"v": 2})
    assert post.drained().counts["malformed"] == 3
    assert rows(post.database)[post.one].number == 1


def test_an_instance_that_is_gone_is_not_written_of(post: Post) -> None:
    with post.database.write() as s:
        s.get_one(Instance, post.one).deleted_at = utcnow()
    post.say(post.one, report(post.one))
    post.drained()
    assert (rows(post.database), post.left()) == ({}, 0)


def test_a_batch_that_was_not_discarded_is_taken_in_again_without_effect(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    post.say(post.one, report(post.one, 1))
    with monkeypatch.context() as killed:
        killed.setattr(post.messaging.collector, "discard", lambda *_: None)
        assert asyncio.run(post.drain.batch(POOL, Tally())) is False
    first = rows(post.database)[post.one]
    assert post.left() == 1
    post.drained()
    again = rows(post.database)[post.one]
    assert (again.number, again.received_at, post.left()) == (1, first.received_at, 0)


def test_more_than_a_batch_is_drained_in_order(post: Post) -> None:
    for begin in range(1, 1501, 100):
        post.say(post.one, *(report(post.one, number) for number in range(begin, begin + 100)))
    assert asyncio.run(post.drain.batch(POOL, Tally())) is True
    assert rows(post.database)[post.one].number == 1000
    post.drained()
    assert rows(post.database)[post.one].number == 1500


def test_a_new_server_of_an_instance_counts_from_the_beginning(post: Post) -> None:
    post.say(post.one, report(post.one, 7, 9))
    post.drained()
    post.queues.create_queue(Operation("again", post.one, "project"))
    post.say(post.one, report(post.one, 1, 1))
    post.drained()
    assert (rows(post.database)[post.one].epoch, rows(post.database)[post.one].number) == (1, 1)


def test_a_shift_ends_when_the_pool_is_gone(post: Post) -> None:
    shift = ActivityEnvironment().run(post.drain.drain, Duty("telemetry.drain", "no such pool"))
    assert asyncio.run(shift) is False


def test_a_round_removes_the_queues_of_what_is_gone(post: Post) -> None:
    with post.database.write() as s:
        s.get_one(Instance, post.one).deleted_at = utcnow()
    ActivityEnvironment().run(post.queues.sweep, Duty("messages.sweep"))
    left = [queue.name for queue in post.messaging.queues.list(PROJECT).page.items]
    assert left == [queue_of(post.other)]


def test_a_guest_without_a_pool_to_report_to_is_no_failure(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/coffer.db")
    Base.metadata.create_all(database.engine)
    messaging = Messaging(database, keyring.create(tmp_path / "keyring.json"))
    queues = MessageActivities(database, messaging, PROJECT, "")
    instance_id = new_id()
    queues.create_queue(Operation("op", instance_id, "project"))
    assert queues.ensure_queue(instance_id) is False
    queues.delete_queue(Operation("op", instance_id, "project"))
    database.close()
