"""Standing duties and rounds on a real Temporal server: taken once, handed over, ended when their subject is gone."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Worker

from activities.duties import Duties, Keeper, Periodic, Standing
from models.base import new_id
from tests.support.world import Temporal
from workflows import duties as under_test
from workflows.contracts import Duty
from workflows.duties import DutyRound, StandingDuty


@pytest.fixture(scope="module")
def temporal() -> Iterator[Temporal]:
    server = Temporal()
    yield server
    server.close()


class Watch:
    """An activity that says what each shift leads to, and writes down who was on it."""

    def __init__(self, *outcomes: bool | Exception) -> None:
        self._outcomes = list(outcomes)
        self.shifts: list[Duty] = []
        self.begun = asyncio.Event()

    @activity.defn(name="watch.stand")
    async def stand(self, duty: Duty) -> bool:
        self.shifts.append(duty)
        self.begun.set()
        outcome = self._outcomes.pop(0) if self._outcomes else await asyncio.Event().wait()
        if isinstance(outcome, Exception):
            raise outcome
        return bool(outcome)


def worker(client: Client, queue: str, watch: Watch) -> AbstractAsyncContextManager[Worker]:
    return Worker(client, task_queue=queue, workflows=[StandingDuty, DutyRound], activities=[watch.stand])


def run(temporal: Temporal, scene: Callable[[Client, str], Awaitable[None]]) -> None:
    async def play() -> None:
        client = await Client.connect(temporal.address)
        await asyncio.wait_for(scene(client, f"duties-{new_id()}"), 50)

    asyncio.run(play())


def standing(subjects: Callable[[], list[str]]) -> Duties:
    return Duties(standing=[Standing("watch.stand", subjects)])


def test_a_failed_shift_is_followed_by_another_until_the_subject_is_gone(temporal: Temporal) -> None:
    async def scene(client: Client, queue: str) -> None:
        watch = Watch(ApplicationError("the pool is away"), True, False)
        async with worker(client, queue, watch):
            await Keeper(client, queue, standing(lambda: ["fast"])).keep()
            await client.get_workflow_handle(f"duty:{queue}:watch.stand:fast").result()
        assert watch.shifts == [Duty("watch.stand", "fast")] * 3

    run(temporal, scene)


def test_many_keepers_begin_each_duty_once(temporal: Temporal) -> None:
    async def scene(client: Client, queue: str) -> None:
        watch = Watch()
        async with worker(client, queue, watch):
            keepers = [Keeper(client, queue, standing(lambda: ["a", "b"])) for _ in range(3)]
            await asyncio.gather(*(k.keep() for k in keepers))
            runs = {
                (await client.get_workflow_handle(f"duty:{queue}:watch.stand:{subject}").describe()).run_id for subject in "ab"
            }
            await asyncio.gather(*(k.keep() for k in keepers))
            again = {
                (await client.get_workflow_handle(f"duty:{queue}:watch.stand:{subject}").describe()).run_id for subject in "ab"
            }
            assert len(runs) == 2
            assert again == runs
            for subject in "ab":
                await client.get_workflow_handle(f"duty:{queue}:watch.stand:{subject}").terminate()

    run(temporal, scene)


def test_a_long_duty_goes_on_in_a_run_with_an_empty_history(temporal: Temporal) -> None:
    async def scene(client: Client, queue: str) -> None:
        watch = Watch(*[True] * under_test.SHIFTS, False)
        async with worker(client, queue, watch):
            await Keeper(client, queue, standing(lambda: ["fast"])).keep()
            handle = client.get_workflow_handle(f"duty:{queue}:watch.stand:fast")
            first = (await handle.describe()).run_id
            await handle.result()
            assert (await handle.describe()).run_id != first
        assert len(watch.shifts) == under_test.SHIFTS + 1

    run(temporal, scene)


def test_a_schedule_begins_rounds_and_takes_a_new_interval(temporal: Temporal) -> None:
    async def scene(client: Client, queue: str) -> None:
        watch = Watch(True)
        async with worker(client, queue, watch):
            for every in (timedelta(hours=1), timedelta(seconds=1)):
                await Keeper(client, queue, Duties(periodic=[Periodic("watch.stand", every)])).keep()
            schedule = client.get_schedule_handle(f"duty:{queue}:watch.stand")
            assert (await schedule.describe()).schedule.spec.intervals[0].every == timedelta(seconds=1)
            await asyncio.wait_for(watch.begun.wait(), 20)
            await schedule.delete()
        assert watch.shifts[0] == Duty("watch.stand")

    run(temporal, scene)


def test_a_duty_that_was_begun_is_running(temporal: Temporal) -> None:
    async def scene(client: Client, queue: str) -> None:
        watch = Watch()
        async with worker(client, queue, watch):
            await Keeper(client, queue, standing(lambda: ["fast"])).keep()
            await watch.begun.wait()
            handle = client.get_workflow_handle(f"duty:{queue}:watch.stand:fast")
            assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
            await handle.terminate()

    run(temporal, scene)


def test_a_schedule_ends_that_is_not_wanted_any_more_and_comes_back_when_it_is(temporal: Temporal) -> None:
    async def scene(client: Client, queue: str) -> None:
        async def keep(every: timedelta) -> bool:
            await Keeper(client, queue, Duties(periodic=[Periodic("watch.stand", every)])).keep()
            try:
                await client.get_schedule_handle(f"duty:{queue}:watch.stand").describe()
            except RPCError as e:
                return e.status is not RPCStatusCode.NOT_FOUND
            return True

        never, hourly = timedelta(), timedelta(hours=1)
        assert [await keep(every) for every in (never, hourly, never, never, hourly)] == [False, True, False, False, True]
        await client.get_schedule_handle(f"duty:{queue}:watch.stand").delete()

    run(temporal, scene)
