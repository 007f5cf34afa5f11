"""The standing duty: woken by commits of this process and of others, heard while it waits for a store, gone when nobody wants events."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities import events as under_test
from activities.events import DELIVER, SUBJECT, EventActivities
from activities.exists import Existence
from messaging.bell import Bell
from models.outbox import OUTBOX
from tests.events.conftest import PROJECT, Desk
from workflows.contracts import Duty

pytestmark = pytest.mark.parametrize("server", ["sqlite"], indirect=True)


class Shift:
    """One shift under way.  It looks by itself only once an hour."""

    def __init__(self, desk: Desk, place: Path) -> None:
        self.desk, self.place, self.bell = desk, place, Bell(place)
        self.activities = EventActivities(desk.delivery, Existence(desk.database, timedelta(hours=1)), self.bell)
        desk.database.when_committed(OUTBOX, self.activities.ring)
        self.environment = ActivityEnvironment()
        self.environment.info = replace(self.environment.info, start_to_close_timeout=timedelta(minutes=15))
        self.beats = 0
        self.environment.on_heartbeat = self._beat

    def _beat(self, *_details: Any) -> None:
        self.beats += 1

    def play(self, scene: Callable[["asyncio.Task[bool]"], Awaitable[None]]) -> None:
        async def on_stage() -> None:
            task = asyncio.create_task(self.environment.run(self.activities.deliver, Duty(DELIVER, SUBJECT)))
            await asyncio.wait_for(scene(task), 30)
            self.environment.worker_shutdown()
            await asyncio.wait_for(task, 30)

        asyncio.run(on_stage())

    async def told(self, count: int) -> None:
        """Until so many events are in the queue."""
        while await asyncio.to_thread(self._count) < count:
            await asyncio.sleep(0.02)

    def _count(self) -> int:
        return self.desk.messaging.queues.stats(PROJECT, "news").total


@pytest.fixture
def shift(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shift]:
    monkeypatch.setattr(under_test, "LOOK_EVERY", 3600)
    shift = Shift(desk, tmp_path / "rings")
    yield shift
    shift.bell.close()


def test_it_ends_when_nobody_wants_events(shift: Shift) -> None:
    assert list(shift.activities.duties().standing[0].subjects()) == []

    async def scene(task: "asyncio.Task[bool]") -> None:
        assert await task is False

    shift.play(scene)


def test_a_commit_of_this_process_wakes_it(shift: Shift) -> None:
    shift.desk.subscribe()
    instance_id = shift.desk.instance()
    assert list(shift.activities.duties().standing[0].subjects()) == [SUBJECT]

    async def scene(task: "asyncio.Task[bool]") -> None:
        for number in range(3):
            await asyncio.to_thread(shift.desk.rename, instance_id, str(number))
            await shift.told(number + 1)

    shift.play(scene)


def test_a_commit_of_another_process_wakes_it(shift: Shift, tmp_path: Path) -> None:
    shift.desk.subscribe()
    instance_id = shift.desk.instance()
    others = Bell(shift.place)
    shift.desk.database.when_committed(OUTBOX, lambda: others.ring("", ""))

    async def scene(task: "asyncio.Task[bool]") -> None:
        while not shift.place.exists() or not any(shift.place.iterdir()):
            await asyncio.sleep(0.02)
        for number in range(3):
            await asyncio.to_thread(shift.desk.rename, instance_id, str(number))
            await shift.told(number + 1)

    shift.play(scene)
    others.close()


def test_it_ends_with_its_worker_and_wants_a_successor(shift: Shift) -> None:
    shift.desk.subscribe()

    async def scene(task: "asyncio.Task[bool]") -> None:
        shift.environment.worker_shutdown()
        assert await task is True

    shift.play(scene)


def test_it_is_heard_while_a_store_does_not_answer(shift: Shift, monkeypatch: pytest.MonkeyPatch) -> None:
    shift.desk.subscribe()
    answered = threading.Event()
    post = shift.desk.messaging.messages.post

    def slow(*args: Any, **kwargs: Any) -> Any:
        assert answered.wait(30)
        return post(*args, **kwargs)

    monkeypatch.setattr(shift.desk.messaging.messages, "post", slow)
    shift.desk.rename(shift.desk.instance(), "x")

    async def scene(task: "asyncio.Task[bool]") -> None:
        while shift.beats < 3:
            await asyncio.sleep(0.02)
        answered.set()
        await shift.told(1)

    shift.play(scene)


def test_who_waits_for_messages_is_told_of_them(shift: Shift, tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    listener = Bell(tmp_path / "bell")
    listener.listen(lambda project, queue: heard.append((project, queue)))
    shift.desk.subscribe()
    shift.desk.rename(shift.desk.instance(), "x")

    async def scene(task: "asyncio.Task[bool]") -> None:
        while not heard:
            await asyncio.sleep(0.02)

    shift.play(scene)
    listener.close()
    assert heard == [(PROJECT, "news")]
