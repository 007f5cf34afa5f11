"""Events under SIGKILL: none is lost, those of an instance keep their order, and each end of an operation is told once by its id."""

import os
import signal
import sqlite3
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from activities.events import EXISTS
from models import EventSubscription, Instance, OperationRow, OperationState, OutboxRow
from models.base import utcnow
from models.event_types import OPERATION_ENDS, RENAMED
from models.outbox import Event, record
from tests.support.world import CALLER, World
from workflows.contracts import Duty

pytestmark = pytest.mark.durability

QUEUE = "news"


class Reader:
    """A subscription of the world's project, and what comes of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.messaging = world.messaging
        self.messaging.queues.put(CALLER.project_id, QUEUE)
        with world.database.write() as s:
            s.add(EventSubscription(project_id=CALLER.project_id, queue=QUEUE, ttl=3600))
        self.news: list[dict[str, Any]] = []

    def read(self) -> list[dict[str, Any]]:
        while popped := self.messaging.messages.pop(CALLER.project_id, QUEUE, 100):
            self.news += [message.body for message in popped]
        return self.news

    def there(self) -> int:
        return self.messaging.queues.stats(CALLER.project_id, QUEUE).total

    def waiting(self) -> int:
        with self.world.database.read() as s:
            return s.query(OutboxRow).count()

    def delivered(self) -> list[dict[str, Any]]:
        """Everything, once nothing waits any more; what came twice as often as it came."""
        self.world.eventually(lambda: self.waiting() == 0, 60)
        return self.read()


@pytest.fixture
def reader(world: World) -> Reader:
    return Reader(world)


def plain_instance(world: World) -> str:
    row = Instance(project_id=CALLER.project_id, name="0", flavor_id="1", volume_size=1, datastore_version_id="version-1")
    with world.database.write() as s:
        s.add(row)
    return row.id


def rename(world: World, instance_id: str, name: str) -> None:
    with world.database.write() as s:
        instance = s.get_one(Instance, instance_id)
        instance.name = name
        record(s, instance, [Event(RENAMED, {"name": name})])


def kill(world: World) -> None:
    deaths = world.deaths
    os.kill(world._worker, signal.SIGKILL)
    world.eventually(lambda: world.deaths > deaths)


def first_seen(news: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As a consumer has it that leaves out what it has seen."""
    first: dict[str, dict[str, Any]] = {}
    for event in news:
        first.setdefault(event["id"], event)
    return list(first.values())


def test_killed_between_post_and_removal(world: World, reader: Reader) -> None:
    """While the rows can't be removed the post goes through: the worker dies with the one done and the other not."""
    instance_id = plain_instance(world)
    for number in range(150):
        rename(world, instance_id, str(number))
    blocker = sqlite3.connect(world.directory / "coffer.db", isolation_level=None, timeout=30)
    blocker.execute("BEGIN IMMEDIATE")
    with world.worker():
        world.eventually(lambda: reader.there() == 100)
        kill(world)
        blocker.execute("COMMIT")
        blocker.close()
        news = reader.delivered()
    assert [event["sequence"] for event in news] == [*range(1, 101), *range(1, 151)]
    assert len({event["id"] for event in news}) == 150


def test_killed_again_and_again_while_instances_change(world: World, reader: Reader) -> None:
    instances = [plain_instance(world) for _ in range(3)]
    with world.worker():
        for turn in range(4):
            for number in range(40):
                rename(world, instances[number % 3], f"{turn}-{number}")
            known = len(reader.read())
            world.eventually(lambda known=known: len(reader.read()) > known, 60)  # type: ignore[misc]
            kill(world)
        news = first_seen(reader.delivered())
    for instance_id in instances:
        own = [event["sequence"] for event in news if event["instance"]["id"] == instance_id]
        assert own == list(range(1, len(own) + 1))
    assert len(news) == 160


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", ["InstanceCreate", "InstanceRestart", "InstanceDelete", "GuestWrite"])
def test_killed_around_the_end_of_an_operation(world: World, reader: Reader, kind: str, moment: str) -> None:
    with world.worker(f"kill:{kind}:finish:{moment}"):
        create = world.create()
        rows = [world.settle(create)]
        begin = {"InstanceRestart": world.restart, "InstanceDelete": world.delete, "GuestWrite": world.write}
        if kind in begin:
            rows.append(world.settle(begin[kind](create.instance_id)))
        news = first_seen(reader.delivered())
    assert world.deaths == 1
    assert [event["sequence"] for event in news] == list(range(1, len(news) + 1))
    assert ends(news) == [(row.id, "operation.done") for row in rows]


@pytest.mark.parametrize("fault", ["fail", "cancel"])
def test_bad_ends_are_told(world: World, reader: Reader, fault: str) -> None:
    plan = "fail:InstanceCreate:4:before" if fault == "fail" else "hold:InstanceCreate:4:before"
    with world.worker(plan):
        create = world.create()
        if fault == "cancel":
            world.eventually((world.directory / "holding").exists)
            world.temporal.loop.run(world.handle(create).cancel())
            (world.directory / "release").touch()
        row = world.settle(create)
        news = reader.delivered()
    assert ends(news) == [(row.id, OPERATION_ENDS[row.state.value])]
    assert row.state in (OperationState.FAILED, OperationState.CANCELLED)


def test_a_deletion_tells_the_end_of_what_it_breaks_off(world: World, reader: Reader) -> None:
    with world.worker("hold:InstanceCreate:4:before"):
        create = world.create()
        world.eventually((world.directory / "holding").exists)
        delete = world.delete(create.instance_id)
        world.eventually(lambda: world.operation(delete.id).state == OperationState.RUNNING)
        (world.directory / "release").touch()
        world.settle(delete)
        news = reader.delivered()
    assert ends(news) == [(create.id, "operation.cancelled"), (delete.id, "operation.done")]
    with world.database.read() as s:
        assert s.get_one(OperationRow, create.id).state == OperationState.CANCELLED


def ends(news: list[dict[str, Any]]) -> list[tuple[str, str]]:
    told = set(OPERATION_ENDS.values())
    return [(event["operation"]["id"], event["type"]) for event in news if event["type"] in told]


def test_a_round_tells_of_what_exists(world: World, reader: Reader) -> None:
    """As the schedule begins it; a second one of the same hour tells nothing."""
    instance_id = plain_instance(world)
    long_ago = utcnow() - timedelta(days=2)
    with world.database.write() as s:
        instance = s.get_one(Instance, instance_id)
        instance.server_key, instance.created_at = "server", long_ago
        s.execute(update(EventSubscription).values(created_at=long_ago))
    with world.worker():
        for number in range(2):
            one = world.client.execute_workflow(
                "DutyRound", Duty(EXISTS), id=f"{world.directory.name}-{number}", task_queue=world.conf.temporal.task_queue
            )
            world.temporal.loop.run(one)
        news = reader.delivered()
    assert {event["type"] for event in news} == {"trove.instance.exists"}
    told = [event["payload"]["audit_period_ending"] for event in news]
    assert len(told) == len(set(told))
