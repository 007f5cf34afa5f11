"""The promise, step by step: whatever dies, fails or is cancelled, an operation ends right, nothing is leaked and nothing done twice.

Generated from workflows/registry.py: a workflow without a scenario, or a step without its faults, fails here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from models import OperationRow, OperationState
from tests.durability.scenarios import SCENARIOS, Scenario
from tests.support.world import World
from workflows.kinds import KINDS
from workflows.registry import WORKFLOWS

pytestmark = pytest.mark.durability

OPERATIONS = [w.__name__ for w in WORKFLOWS if w.__name__ in KINDS]


def points(of: str) -> list[Any]:
    """Every (workflow, activity id, moment) of the registry; `of` names the scenario's list of activity ids.

    A fault before a step leaves nearly what one after the step before it does, so every push tries those after; `make durability` tries all.
    """
    found = []
    for kind in OPERATIONS:
        for step in getattr(SCENARIOS[kind], of):
            found.append(pytest.param(kind, step, "before", id=f"{kind}-{step}-before", marks=pytest.mark.slow))
            found.append(pytest.param(kind, step, "after", id=f"{kind}-{step}-after"))
    return found


def middle_points() -> list[Any]:
    """Faults that an operation has an answer for: all but in claiming and closing its own row."""
    return [p for p in points("steps") if p.values[1] not in ("claim", "finish")]


@contextmanager
def begun(world: World, kind: str, plan: str = "") -> Iterator[tuple[Scenario, OperationRow]]:
    """A world in which the operation of this kind has been asked for, with a worker under the plan."""
    scenario = SCENARIOS[kind]
    with world.worker(plan):
        instance_id = world.ready_instance() if scenario.needs_instance else ""
        yield scenario, scenario.begin(world, instance_id)


def test_every_workflow_has_a_scenario() -> None:
    assert sorted(SCENARIOS) == sorted(OPERATIONS) == sorted(KINDS)


@pytest.mark.parametrize("kind", OPERATIONS)
def test_run_without_faults_takes_the_scenarios_steps(world: World, kind: str) -> None:
    with begun(world, kind) as (scenario, row):
        assert world.settle(row).state == OperationState.DONE
        assert sorted(step.id for step in world.steps(row)) == sorted(scenario.steps)
        scenario.done(world, row)


@pytest.mark.parametrize(("kind", "step", "moment"), points("steps"))
def test_worker_killed_at_each_step_completes(world: World, kind: str, step: str, moment: str) -> None:
    with begun(world, kind, f"kill:{kind}:{step}:{moment}") as (scenario, row):
        assert world.settle(row).state == OperationState.DONE
        assert world.deaths == 1
        scenario.done(world, row)


@pytest.mark.parametrize(("kind", "step", "moment"), middle_points())
def test_failure_at_each_step_leaves_a_clean_slate(world: World, kind: str, step: str, moment: str) -> None:
    with begun(world, kind, f"fail:{kind}:{step}:{moment}") as (scenario, row):
        ended = world.settle(row)
        assert (ended.state, ended.error_type) == (OperationState.FAILED, "Injected")
        scenario.failed(world, row)


@pytest.mark.parametrize(("kind", "undo", "moment"), points("undos"))
def test_worker_killed_while_unwinding_still_leaves_a_clean_slate(world: World, kind: str, undo: str, moment: str) -> None:
    last = SCENARIOS[kind].unwinding_step
    with begun(world, kind, f"fail:{kind}:{last}:after;kill:{kind}:{undo}:{moment}") as (scenario, row):
        assert world.settle(row).state == OperationState.FAILED
        assert world.deaths == 1
        scenario.failed(world, row)


@pytest.mark.parametrize("kind", OPERATIONS)
def test_every_activity_run_twice_has_one_effect(world: World, kind: str) -> None:
    with begun(world, kind, f"twice:{kind}") as (scenario, row):
        assert world.settle(row).state == OperationState.DONE
        scenario.done(world, row)


@pytest.mark.parametrize(("kind", "step"), [(k, s) for k in OPERATIONS for s in SCENARIOS[k].steps])
def test_cancel_during_each_step(world: World, kind: str, step: str) -> None:
    with begun(world, kind, f"hold:{kind}:{step}:before") as (scenario, row):
        world.eventually((world.directory / "holding").exists)
        world.temporal.loop.run(world.handle(row).cancel())
        (world.directory / "release").touch()
        ended = world.settle(row)
        if scenario.cancel == "unwinds" and step != "finish":
            assert ended.state == OperationState.CANCELLED
            scenario.failed(world, row)
        elif step == "claim":
            assert ended.state in (OperationState.DONE, OperationState.CANCELLED)
            assert world.instance(row.instance_id).operation_id is None
        else:
            assert ended.state == OperationState.DONE
            scenario.done(world, row)


@pytest.mark.parametrize("kind", OPERATIONS)
def test_start_lost_between_commit_and_temporal_is_repaired(world: World, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = SCENARIOS[kind]
    with world.worker():
        instance_id = world.ready_instance() if scenario.needs_instance else ""
        monkeypatch.setattr(world.operations, "start", lambda row: None)
        row = scenario.begin(world, instance_id)
        assert world.operation(row.id).state == OperationState.PENDING
        assert world.settle(row).state == OperationState.DONE
        scenario.done(world, row)
