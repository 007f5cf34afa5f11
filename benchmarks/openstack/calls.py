"""API calls of creates that run at once, and how long they take.

The worker runs in this process and counts each HTTP request that leaves it, tokens and version discovery included.  The guests run
the stub engine: what an engine does makes no API call.
"""

import asyncio
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from temporalio.client import Client

import worker
from activities.steps import StepLog
from models import OperationRow, OperationState
from tests.support.openstack_world import OpenStackWorld
from tests.support.testbed import Bed
from tests.support.world import Temporal, Zygote

GOAL = 15.0
WITHIN = 3600.0
LOOK_SECONDS = 0.5
ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


class Wide(OpenStackWorld):
    """With a thread for each operation."""

    threads = 128


@contextmanager
def wide_world(bed: Bed) -> Iterator[OpenStackWorld]:
    temporal, zygote = Temporal(), Zygote()
    try:
        world = Wide(bed, temporal, zygote, no_progress_deadline=600)
        try:
            yield world
        finally:
            world.close()
    finally:
        zygote.close()
        temporal.close()


async def ended(world: OpenStackWorld, rows: list[OperationRow]) -> list[OperationRow]:
    until = time.monotonic() + WITHIN
    while any((now := world.operation(row.id)).state in OperationState.open() for row in rows):
        if time.monotonic() > until:
            raise TimeoutError(f"operation {now.id} is still {now.state}")
        await asyncio.sleep(LOOK_SECONDS)
    return [world.operation(row.id) for row in rows]


async def counted(
    world: OpenStackWorld, begin: Callable[[], list[OperationRow]]
) -> tuple[list[OperationRow], Counter[str], float]:
    """The ended operations, requests by kind, seconds in all."""
    calls: Counter[str] = Counter()

    def on_call(method: str, url: str) -> None:
        where = urlsplit(url)
        calls[f"{method} {where.port} {ID.sub('ID', where.path)}"] += 1

    cloud = world.bed.connect(on_call, poll_interval=1.0, call_timeout=60.0)
    client = await Client.connect(world.temporal.address, data_converter=world.converter)
    steps = StepLog(world.database)
    parts = worker.collaborators(world.conf, client, cloud, world.database, steps)
    started = time.monotonic()
    async with worker.build(world.conf, parts, steps):
        found = await ended(world, await asyncio.to_thread(begin))
    parts.bell.close()
    return found, calls, time.monotonic() - started


def report(what: str, found: list[OperationRow], calls: Counter[str], seconds: float) -> None:
    done = sum(row.state == OperationState.DONE for row in found)
    each = statistics.median((r.finished_at - r.started_at).total_seconds() for r in found if r.finished_at and r.started_at)
    say = [f"{what}: {len(found)} at once, {done} done, {seconds:.0f} s; each {each:.0f} s (median); {calls.total()} API calls"]
    say += [f"  {times:5} {call}" for call, times in calls.most_common()]
    say += [f"  {row.error_type}: {row.error_message}" for row in found if row.state != OperationState.DONE]
    print("\n".join(say), file=sys.stderr)


async def measure(world: OpenStackWorld, number: int) -> list[tuple[str, str, str, bool]]:
    made, calls, seconds = await counted(world, lambda: [world.create() for _ in range(number)])
    report("create", made, calls, seconds)
    each = calls.total() / number
    done = sum(row.state == OperationState.DONE for row in made)
    ready = [row.instance_id for row in made if row.instance_id]
    removed, calls, gone = await counted(world, lambda: [world.delete(instance_id) for instance_id in ready])
    report("delete", removed, calls, gone)
    return [
        (f"{number} creates at once: done", f"{done}", f"{number}", done == number),
        (f"{number} creates at once: s until the last is ready", f"{seconds:.0f}", "", True),
        (f"{number} creates at once: API calls each", f"{each:.1f}", f"<= {GOAL:.0f}", each <= GOAL),
        (f"{number} deletes at once: API calls each", f"{calls.total() / len(removed):.1f}", "", True),
    ]


def rows(bed: Bed, creates: list[int]) -> list[tuple[str, str, str, bool]]:
    """(what, measured, goal, met)."""
    found = []
    for number in creates:
        with wide_world(bed) as world:
            found += asyncio.run(measure(world, number))
    return found
