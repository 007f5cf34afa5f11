"""API calls and waiting of creates on an OpenStack, with its notifications and without: `python -m benchmarks.notifications 10`.

COFFER_TESTBED_CLOUDS names the testbed.  The worker runs in this process, each HTTP request that leaves it is counted, and the guests
run the stub engine.  The creates run one after the other, then all at once.  Each is deleted before the next round.
"""

import asyncio
import re
import statistics
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from temporalio.client import Client

import config
import worker
from activities.steps import StepLog
from clouds.changes import Changes
from models import OperationRow, OperationState, OperationStep
from tests.support.openstack_world import OpenStackWorld
from tests.support.testbed import Bed, testbed
from tests.support.world import Temporal, Zygote

LOOK_SECONDS = 0.1
ID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
WITHIN = 1800.0
WAITS = ("cinder.create_volume", "nova.create_server")


class Wide(OpenStackWorld):
    """With a thread for each operation."""

    threads = 64


def kind_of(method: str, url: str) -> str:
    where = urlsplit(url)
    return f"{method} {where.port} {ID.sub('ID', where.path)}"


def without_quota(bed: Bed) -> None:
    project = bed.service.current_project_id
    bed.operator.compute.update_quota_set(project, instances=-1, cores=-1, ram=-1)
    bed.operator.block_storage.update_quota_set(project, volumes=-1, gigabytes=-1)
    bed.operator.network.update_quota(project, ports=-1)


async def ended(world: OpenStackWorld, rows: list[OperationRow]) -> None:
    until = time.monotonic() + WITHIN
    while any(world.operation(row.id).state in OperationState.open() for row in rows):
        if time.monotonic() > until:
            raise TimeoutError("operations do not end")
        await asyncio.sleep(LOOK_SECONDS)


def seconds_of(world: OpenStackWorld, rows: list[OperationRow]) -> list[float]:
    """What each create spent in the steps that wait for the cloud."""
    found = []
    with world.database.read() as s:
        for row in rows:
            steps = s.query(OperationStep).filter_by(operation_id=row.id).all()
            spans = [
                (step.finished_at - step.started_at).total_seconds()
                for step in steps
                if step.name in WAITS and step.finished_at and step.started_at
            ]
            found.append(sum(spans))
    return found


async def measured(world: OpenStackWorld, bed: Bed, number: int, transport_url: str) -> None:
    calls: list[str] = []
    cloud = bed.connect(lambda method, url: calls.append(kind_of(method, url)), poll_interval=1.0, call_timeout=60.0)
    cloud = replace(cloud, server_changes=Changes(), volume_changes=Changes())
    conf = config.load(world.config_file)
    conf.set_override("transport_url", transport_url, "notifications")
    client = await Client.connect(world.temporal.address, data_converter=world.converter)
    steps = StepLog(world.database)
    told = worker.collaborators(conf, client, cloud, world.database, steps)
    how = "with notifications" if transport_url else "polling"
    with worker.listening(conf, cloud):
        async with worker.build(conf, told, steps):
            for title, rounds, at_once in (("one by one", number, 1), ("at once", 1, number)):
                rows: list[OperationRow] = []
                created: Counter[str] = Counter()
                for _ in range(rounds):
                    before = len(calls)
                    batch = [world.create() for _ in range(at_once)]
                    await ended(world, batch)
                    created.update(calls[before:])
                    gone: list[Any] = [world.delete(row.instance_id) for row in batch]
                    await ended(world, gone)
                    rows += [world.operation(row.id) for row in batch]
                done = sum(row.state == OperationState.DONE for row in rows)
                median = statistics.median(seconds_of(world, rows))
                print(
                    f"{how}, {title}: {done} of {len(rows)} done, {created.total() / len(rows):.1f} calls each, "
                    f"{median:.1f} s in volume and server (median)",
                    flush=True,
                )
                for kind, times in created.most_common():
                    print(f"  {times / len(rows):5.1f} {kind}")


def main(number: int) -> int:
    temporal, zygote = Temporal(), Zygote()
    try:
        with testbed() as bed:
            without_quota(bed)
            for transport_url in ("", bed.transport_url):
                world = Wide(bed, temporal, zygote)
                try:
                    asyncio.run(measured(world, bed, number, transport_url))
                finally:
                    world.close()
    finally:
        zygote.close()
        temporal.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
