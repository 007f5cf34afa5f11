"""Records one history of every workflow ending each way it can: `python -m tests.support.record_histories RELEASE`.

They are kept for as long as a run of that release may still be open, and replayed by tests/workflows/test_replay.py.
"""

import sys
from pathlib import Path

from models import OperationRow
from security import keyring
from tests.durability.scenarios import SCENARIOS, Scenario
from tests.support.world import ROOT, Temporal, World, Zygote
from workflows.contracts import GuestQuestion

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


def main(release: str) -> None:
    keyring.create(Path(KEYRING))
    temporal, zygote = Temporal(), Zygote()
    try:
        for scenario in SCENARIOS.values():
            for ending, plan in plans(scenario).items():
                write(scenario.kind, ending, release, record(temporal, zygote, scenario, plan))
        write("GuestRead", "success", release, record_read(temporal, zygote))
    finally:
        zygote.close()
        temporal.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
