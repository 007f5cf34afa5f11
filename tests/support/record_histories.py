"""Records one history of every workflow ending each way it can: `python -m tests.support.record_histories RELEASE [WORKFLOW ...]`.

They are kept for as long as a run of that release may still be open, and replayed by tests/workflows/test_replay.py.
"""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from clouds.ports import WantPort
from models import OperationRow
from security import keyring
from security.codec import data_converter
from tests.durability.scenarios import SCENARIOS, Scenario
from tests.support.telling import Telling
from tests.support.world import ROOT, Temporal, World, Zygote
from workflows.contracts import USER_PORT, Duty, GuestQuestion
from workflows.duties import DutyRound, StandingDuty

HISTORIES = ROOT / "tests" / "histories"
KEYRING = HISTORIES / "keyring.json"
"""Opens the recorded payloads and nothing else."""


def plans(scenario: Scenario) -> dict[str, str]:
    """How each ending is brought about."""
    found = {"success": ""} | {
        f"failed-at-{step}": f"fail:{scenario.kind}:{step}:after" for step in scenario.steps if step not in ("claim", "finish")
    }
    if scenario.cancel == "unwinds":
        found |= {f"cancelled-at-{step}": f"hold:{scenario.kind}:{step}:before" for step in scenario.steps if step != "finish"}
    return found


def record(temporal: Temporal, zygote: Zygote, scenario: Scenario, plan: str) -> str:
    world = World(temporal, zygote, keyring_file=KEYRING)
    try:
        with world.worker(plan):
            instance_id = world.ready_instance() if scenario.needs_instance else ""
            row = scenario.begin(world, instance_id)
            if plan.startswith("hold"):
                world.eventually((world.directory / "holding").exists)
                world.temporal.loop.run(world.handle(row).cancel())
                (world.directory / "release").touch()
            world.settle(row)
            return str(temporal.loop.run(world.handle(row).fetch_history()).to_json())
    finally:
        world.close()


def record_long(temporal: Temporal, zygote: Zygote, *, told: bool) -> str:
    """A create whose job is left alone until the guest reports its end; or which is polled, since the guest cannot report."""
    world = Telling(temporal, zygote, keyring_file=KEYRING)
    try:
        with world.open() if told else nullcontext(), world.worker("hold:InstanceCreate:7:before"):
            row = world.create()
            world.eventually((world.directory / "holding").exists)
            world.eventually(lambda: not told or world.heard(row.instance_id))
            (world.directory / "release").touch()
            world.settle(row)
            return str(temporal.loop.run(world.handle(row).fetch_history()).to_json())
    finally:
        world.close()


def record_named(temporal: Temporal, zygote: Zygote, *, kind: str, plan: str = "") -> str:
    """Of an instance that gets a name, lets others in by it, or is rid of it."""
    world = World(temporal, zygote, keyring_file=KEYRING)
    try:
        with world.worker(plan):
            row = world.create(zone="db.test")
            if kind != "InstanceCreate":
                world.settle(row)
            if kind == "InstanceAccess":  # only an instance on a tenant's network has somebody to let in
                world.cloud.networks.create_port(WantPort(f"coffer-{row.id}{USER_PORT}", row.instance_id))
                row = world.change_access(row.instance_id)
            elif kind == "InstanceDelete":
                row = world.delete(row.instance_id, named=True)
            world.settle(row)
            return str(temporal.loop.run(world.handle(row).fetch_history()).to_json())
    finally:
        world.close()


def record_read(temporal: Temporal, zygote: Zygote) -> str:
    world = World(temporal, zygote, keyring_file=KEYRING)
    try:
        with world.worker():
            instance_id = world.ready_instance()
            world.operations.ask(GuestQuestion(instance_id, "project-1", "users.list"))
            run = temporal.loop.run(_newest(world, "GuestRead"))
            row = OperationRow(workflow_id=run)
            return str(temporal.loop.run(world.handle(row).fetch_history()).to_json())
    finally:
        world.close()


@activity.defn(name="recorded.shift")
async def shift(duty: Duty) -> bool:
    return False


def record_duty(temporal: Temporal, kind: type) -> str:
    """What a duty does is nothing to its workflow: any activity will do."""
    return str(temporal.loop.run(_run_duty(temporal.address, kind)))


async def _run_duty(address: str, kind: type) -> str:
    client = await Client.connect(address, data_converter=data_converter(keyring.load(KEYRING), "default"))
    queue = f"record-{kind.__name__}"
    async with Worker(client, task_queue=queue, workflows=[kind], activities=[shift]):
        handle = await client.start_workflow(kind.__name__, Duty("recorded.shift", "once"), id=queue, task_queue=queue)
        await handle.result()
    return str((await handle.fetch_history()).to_json())


async def _newest(world: World, kind: str) -> str:
    query = f"WorkflowType = '{kind}' AND TaskQueue = '{world.conf.temporal.task_queue}'"
    while True:  # visibility follows the run by some milliseconds
        async for run in world.client.list_workflows(query):
            return run.id


def write(kind: str, ending: str, release: str, history: str) -> None:
    path = HISTORIES / kind / f"{ending}@{release}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(history + "\n")
    sys.stdout.write(f"{path.relative_to(ROOT)}\n")


def endings(temporal: Temporal, zygote: Zygote) -> dict[str, dict[str, Callable[[], str]]]:
    """How to record each ending of each workflow."""
    found: dict[str, dict[str, Callable[[], str]]] = {
        scenario.kind: {name: partial(record, temporal, zygote, scenario, plan) for name, plan in plans(scenario).items()}
        for scenario in SCENARIOS.values()
    }
    for duty in (StandingDuty, DutyRound):
        found[duty.__name__] = {"success": partial(record_duty, temporal, duty)}
    found["InstanceCreate"] |= {
        "success-told": partial(record_long, temporal, zygote, told=True),
        "success-untold": partial(record_long, temporal, zygote, told=False),
    }
    named = partial(record_named, temporal, zygote)
    found["InstanceCreate"] |= {
        "success-named": partial(named, kind="InstanceCreate"),
        "failed-named": partial(named, kind="InstanceCreate", plan="fail:InstanceCreate:8:after"),
    }
    for kind in ("InstanceAccess", "InstanceDelete"):
        found[kind]["success-named"] = partial(named, kind=kind)
    found["GuestRead"] = {"success": partial(record_read, temporal, zygote)}
    return found


def main(release: str, *only: str) -> None:
    keyring.create(Path(KEYRING))
    temporal, zygote = Temporal(), Zygote()
    try:
        for kind, ways in endings(temporal, zygote).items():
            for name, recorded in ways.items() if kind in only or not only else ():
                write(kind, name, release, recorded())
    finally:
        zygote.close()
        temporal.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
