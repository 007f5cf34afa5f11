"""Which duties there are, and keeping them taken: see workflows/duties.py.

A standing duty's activity gets a `Duty`, heartbeats at least every second or two, ends its shift after some minutes or when its worker
goes away, and gives whether there is to be another shift: False once its subject is gone.  Two shifts may overlap for some
seconds when a worker was only thought dead; what they do must bear that.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from workflows.contracts import Duty

CATCH_UP = timedelta(minutes=1)


@dataclass(frozen=True)
class Standing:
    """`subjects` names what there is to be on duty for now; it is asked again and again, in a thread."""

    activity: str
    subjects: Callable[[], Sequence[str]]


@dataclass(frozen=True)
class Periodic:
    """A round of `activity` every so often, never two at a time; with an interval of zero it is off, and what an earlier worker scheduled ends."""

    activity: str
    every: timedelta


@dataclass(frozen=True)
class Duties:
    standing: Sequence[Standing] = field(default=())
    periodic: Sequence[Periodic] = field(default=())


class Keeper:
    """Sees that each duty has its workflow or schedule.  Any number of workers may do so at once; the task queue names the deployment."""

    def __init__(self, client: Client, task_queue: str, duties: Duties) -> None:
        self._client, self._queue, self._duties = client, task_queue, duties
        self._scheduled: set[str] = set()

    async def keep(self) -> None:
        """Begin what is not running.  Raises RPCError with Temporal away, SQLAlchemyError without SQL: call it again later."""
        for duty in self._duties.periodic:
            if duty.activity not in self._scheduled:
                await (self._schedule(duty) if duty.every else self._unschedule(duty))
                self._scheduled.add(duty.activity)
        for standing in self._duties.standing:
            for subject in await asyncio.to_thread(standing.subjects):
                await self._begin(Duty(standing.activity, subject))

    async def _begin(self, duty: Duty) -> None:
        await self._client.start_workflow(
            "StandingDuty",
            duty,
            id=f"duty:{self._queue}:{duty.activity}:{duty.subject}",
            task_queue=self._queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"{duty.activity} {duty.subject}",
        )

    async def _schedule(self, duty: Periodic) -> None:
        wanted = self._schedule_of(duty)
        schedule_id = f"duty:{self._queue}:{duty.activity}"
        try:
            await self._client.create_schedule(schedule_id, wanted)
        except ScheduleAlreadyRunningError:
            await self._client.get_schedule_handle(schedule_id).update(lambda now: _with_interval(now, wanted))

    async def _unschedule(self, duty: Periodic) -> None:
        try:
            await self._client.get_schedule_handle(f"duty:{self._queue}:{duty.activity}").delete()
        except RPCError as e:
            if e.status is not RPCStatusCode.NOT_FOUND:
                raise

    def _schedule_of(self, duty: Periodic) -> Schedule:
        return Schedule(
            action=ScheduleActionStartWorkflow(
                "DutyRound",
                Duty(duty.activity),
                id=f"round:{self._queue}:{duty.activity}",
                task_queue=self._queue,
                static_summary=duty.activity,
            ),
            spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=duty.every)]),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
        )


def _with_interval(now: ScheduleUpdateInput, wanted: Schedule) -> ScheduleUpdate:
    """The schedule as it is, with today's interval and action: an operator's pause stays."""
    schedule = now.description.schedule
    schedule.spec, schedule.action, schedule.policy = wanted.spec, wanted.action, wanted.policy
    return ScheduleUpdate(schedule=schedule)
