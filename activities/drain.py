"""The drain: what guests post becomes rows.  A standing duty, one for each pool.

How it works.  A batch is gathered from all guests' queues of the pool, read, written in one statement, told to workflows that wait for the
end of a job, and only then discarded.
What if we crash here.  The batch is gathered again, by whoever takes the next shift: rows only take what is newer, a signal that comes twice is
the same signal, a message that is gone may be discarded.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import zip_longest

import structlog
from sqlalchemy import select
from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from messaging.bell import Bell
from messaging.collecting import Gathered
from messaging.errors import NoPool, StoreUnavailable
from messaging.service import Messaging
from models import Database, OperationRow, OperationState
from models.base import utcnow
from telemetry import records
from telemetry.records import Entry
from telemetry.reports import Forged, Malformed, Report, parse
from telemetry.urls import GuestUrls, instance_of
from workflows.contracts import Duty
from workflows.kinds import KINDS
from workflows.options import SCALE

BATCH = 1000
SHIFT_SECONDS = 600 * SCALE
BEAT_SECONDS = 1.5 * SCALE
SLOW_LOOK = 1.0
"""For what no bell tells of: heartbeats, and posts taken in on other machines."""
COLLECT = 0.1
"""After a batch that was not full: so that many small posts make one batch."""
TELL_EVERY = 60.0
MOST_REMEMBERED = 100_000
MOST_OF_ENGINE = 10
"""Reports of one guest in a batch that are written one after the other: the newest, and changes of its engine's state before it."""

log = structlog.get_logger(__name__)


@dataclass
class Tally:
    """What came of the messages of a shift."""

    counts: Counter[str] = field(default_factory=Counter)
    told: float = field(default_factory=time.monotonic)

    def add(self, **counts: int) -> None:
        self.counts.update(counts)

    def tell(self, pool: str, *, at_once: bool = False) -> None:
        if self.counts and (at_once or time.monotonic() - self.told > TELL_EVERY):
            log.info("reports of guests", pool=pool, **self.counts)
            self.counts.clear()
            self.told = time.monotonic()


class DrainActivities:
    def __init__(self, database: Database, messaging: Messaging, client: Client, urls: GuestUrls, bell: Bell) -> None:
        self._database, self._messaging, self._client, self._urls = database, messaging, client, urls
        self._bell = bell
        self._rung: set[asyncio.Event] = set()
        self._told: OrderedDict[str, None] = OrderedDict()
        self._forgers: OrderedDict[str, None] = OrderedDict()

    @activity.defn(name="telemetry.drain")
    async def drain(self, duty: Duty) -> bool:
        """One shift on a pool; False once the pool is gone."""
        tally, end = Tally(), time.monotonic() + SHIFT_SECONDS
        async with self._listening() as rung, _beating(tally):
            while time.monotonic() < end and not activity.is_worker_shutdown():
                rung.clear()
                try:
                    full = await self.batch(duty.subject, tally)
                except NoPool:
                    return False
                except StoreUnavailable as e:
                    raise ApplicationError(str(e), type="StoreUnavailable") from e
                tally.tell(duty.subject)
                if full is False:
                    await asyncio.sleep(COLLECT)
                if not full:
                    await _rung_or(rung, SLOW_LOOK)
        tally.tell(duty.subject, at_once=True)
        return True

    async def batch(self, pool: str, tally: Tally) -> bool | None:
        """Deal with what is there.  Whether it was as much as is taken at a time; None when there was nothing."""
        gathered = await asyncio.to_thread(self._messaging.collector.gather, pool, self._urls.project, BATCH)
        if not gathered:
            return None
        newest = await asyncio.to_thread(self._take_in, gathered, tally)
        await self._tell_of_ended_jobs(newest)
        await asyncio.to_thread(self._messaging.collector.discard, pool, self._urls.project, gathered)
        return len(gathered) >= BATCH

    def _take_in(self, gathered: Sequence[Gathered], tally: Tally) -> list[Report]:
        now, known_until = utcnow(), self._urls.lifetime / 2
        telling: dict[str, list[tuple[Report, datetime]]] = {}
        for message in gathered:
            report = self._read(message, tally)
            held = telling.setdefault(report.instance_id, []) if report else []
            if report and (not held or report.place > held[-1][0].place):
                if held and not held[-1][0].of_engine:
                    held.pop()
                held[: 1 - MOST_OF_ENGINE] = []
                held.append((report, now - timedelta(seconds=message.age)))
        # Whoever posted then had a URL, and was given another one when less than half of its life was left.
        entries = [[Entry(report, at, at + known_until) for report, at in held] for held in telling.values()]
        for wave in zip_longest(*entries):
            records.write(self._database, [entry for entry in wave if entry])
        tally.add(messages=len(gathered), written=sum(map(len, entries)))
        return [held[-1][0] for held in telling.values()]

    def _read(self, message: Gathered, tally: Tally) -> Report | None:
        instance_id = instance_of(message.queue)
        try:
            if instance_id is None:
                raise Malformed("no guest's queue")
            return parse(instance_id, message.body)
        except Malformed:
            tally.add(malformed=1)
        except Forged:
            tally.add(forged=1)
            if _remember(self._forgers, message.queue):
                log.warning("a guest speaks for another instance; it is not heard", queue=message.queue)
        return None

    async def _tell_of_ended_jobs(self, reports: Sequence[Report]) -> None:
        ended = {job_id: report.instance_id for report in reports for job_id in report.ended_jobs() if job_id not in self._told}
        if not ended:
            return
        for operation_id, instance_id, workflow_id in await asyncio.to_thread(self._waiting):
            for job_id, of in ended.items():
                if of == instance_id and job_id.startswith(f"{operation_id}-"):
                    await self._signal(workflow_id, job_id)
        for job_id in ended:
            _remember(self._told, job_id)

    def _waiting(self) -> list[tuple[str, str, str]]:
        kinds = [name for name, kind in KINDS.items() if kind.hears_guests]
        rows = select(OperationRow.id, OperationRow.instance_id, OperationRow.workflow_id)
        with self._database.read() as s:
            found = s.execute(rows.where(OperationRow.state.in_(OperationState.open()), OperationRow.kind.in_(kinds)))
            return [(row.id, row.instance_id, row.workflow_id) for row in found]

    async def _signal(self, workflow_id: str, job_id: str) -> None:
        """One that is lost costs the workflow some time: it looks by itself in the end."""
        try:
            await self._client.get_workflow_handle(workflow_id).signal("job_ended", job_id, rpc_timeout=timedelta(seconds=5))
        except RPCError as e:
            if e.status is not RPCStatusCode.NOT_FOUND:
                log.warning("a workflow was not told of its job's end", workflow_id=workflow_id, reason=e.message)

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever a guest's message that brings news was taken in on this machine."""
        rung, loop, project = asyncio.Event(), asyncio.get_running_loop(), self._urls.project

        def wake() -> None:
            for one in self._rung:
                one.set()

        def heard(of: str, _queue: str) -> None:
            if of == project and not all(one.is_set() for one in self._rung):
                loop.call_soon_threadsafe(wake)

        self._rung.add(rung)
        self._bell.listen(heard)
        try:
            yield rung
        finally:
            self._rung.discard(rung)


@asynccontextmanager
async def _beating(tally: Tally) -> AsyncIterator[None]:
    """Heartbeats, with the counts for whoever looks at the run."""

    async def beat() -> None:
        while True:
            activity.heartbeat(dict(tally.counts))
            await asyncio.sleep(BEAT_SECONDS)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()


async def _rung_or(rung: asyncio.Event, seconds: float) -> None:
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(rung.wait(), seconds)


def _remember(known: "OrderedDict[str, None]", key: str) -> bool:
    """Whether it is new; the oldest are forgotten."""
    if key in known:
        known.move_to_end(key)
        return False
    known[key] = None
    if len(known) > MOST_REMEMBERED:
        known.popitem(last=False)
    return True
