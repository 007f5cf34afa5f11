"""API calls of creates that run at once on an OpenStack: `python -m benchmarks.openstack 50`, with COFFER_TESTBED_CLOUDS set.

The worker runs in this process and counts each HTTP request that leaves it, tokens and version discovery included.  The guests run
the stub engine: what an engine does makes no API call.
"""

import asyncio
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from temporalio.client import Client

import worker
from models import OperationRow, OperationState
from tests.support.openstack_world import OpenStackWorld
from tests.support.testbed import Bed, testbed
from tests.support.world import Temporal, Zygote

GOAL = 15.0
WITHIN = 1800.0
LOOK_SECONDS = 0.5
ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")


class Wide(OpenStackWorld):
    """With a thread for each operation."""

    threads = 128


def allow(bed: Bed) -> None:
    """No quota in the way of the service project."""
    project = bed.service.current_project_id
    bed.operator.compute.update_quota_set(project, instances=-1, cores=-1, ram=-1)
    bed.operator.block_storage.update_quota_set(project, volumes=-1, gigabytes=-1)
    bed.operator.network.update_quota(project, ports=-1)


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
    started = time.monotonic()
    async with worker.build(world.conf, client, cloud):
        rows = await ended(world, await asyncio.to_thread(begin))
    return rows, calls, time.monotonic() - started


def report(what: str, rows: list[OperationRow], calls: Counter[str], seconds: float) -> float:
    done = sum(row.state == OperationState.DONE for row in rows)
    took = sorted((row.finished_at - row.started_at).total_seconds() for row in rows if row.finished_at and row.started_at)
    each = calls.total() / len(rows)
    print(f"{what}: {len(rows)} at once, {done} done, {seconds:.0f} s; each {statistics.median(took):.0f} s (median)")
    print(f"  {calls.total()} API calls, {each:.1f} each")
    for call, times in calls.most_common():
        print(f"    {times:5} {call}")
    for row in rows:
        if row.state != OperationState.DONE:
            print(f"  {row.error_type}: {row.error_message}")
    return each


async def measure(world: OpenStackWorld, number: int) -> bool:
    rows, calls, seconds = await counted(world, lambda: [world.create() for _ in range(number)])
    each = report("create", rows, calls, seconds)
    ready: list[Any] = [row.instance_id for row in rows]
    removed, calls, seconds = await counted(world, lambda: [world.delete(instance_id) for instance_id in ready])
    report("delete", removed, calls, seconds)
    print(f"goal: <= {GOAL:.0f} calls for a create: {'met' if each <= GOAL else 'MISSED'}")
    return each <= GOAL and all(row.state == OperationState.DONE for row in [*rows, *removed])


def main(number: int) -> int:
    temporal, zygote = Temporal(), Zygote()
    try:
        with testbed() as bed:
            allow(bed)
            world = Wide(bed, temporal, zygote)
            try:
                return 0 if asyncio.run(measure(world, number)) else 1
            finally:
                world.close()
    finally:
        zygote.close()
        temporal.close()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
