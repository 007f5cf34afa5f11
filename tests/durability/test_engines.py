"""The same promises with real engines: whatever dies meanwhile, tenants get a database that works, or none."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import OperationRow, OperationState
from tests.durability.scenarios import SCENARIOS
from tests.support.engines import usable
from tests.support.world import PASSWORD, Temporal, World, Zygote

ENGINES = ["mariadb", "postgresql", "redis"]
pytestmark = [pytest.mark.durability, pytest.mark.engines]


@pytest.fixture(params=ENGINES)
def real(request: pytest.FixtureRequest, temporal: Temporal, zygote: Zygote) -> Iterator[World]:
    w = World(temporal, zygote, manager=request.param)
    yield w
    w.close()


def address(world: World, row: OperationRow) -> str:
    return str(world.instance(row.instance_id).management_address)


def ready(world: World) -> OperationRow:
    create = world.create()
    ended = world.settle(create)
    assert ended.state == OperationState.DONE, ended.error_message
    return create


def test_whole_life(real: World) -> None:
    with real.worker():
        create = ready(real)
        assert usable(real.manager, address(real, create), "ada", PASSWORD)
        for begin in (real.restart, real.write):
            assert real.settle(begin(create.instance_id)).state == OperationState.DONE
        assert usable(real.manager, address(real, create), "ada", PASSWORD)
        delete = real.delete(create.instance_id)
        assert real.settle(delete).state == OperationState.DONE
        SCENARIOS["InstanceDelete"].done(real, delete)


@pytest.mark.slow
@pytest.mark.parametrize("step", SCENARIOS["InstanceCreate"].steps)
def test_worker_killed_after_each_step_of_a_create(real: World, step: str) -> None:
    with real.worker(f"kill:InstanceCreate:{step}:after"):
        create = ready(real)
        assert real.deaths == 1
        assert usable(real.manager, address(real, create), "ada", PASSWORD)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["InstanceRestart", "GuestWrite", "InstanceDelete"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_worker_killed_around_the_work(real: World, kind: str, moment: str) -> None:
    with real.worker(f"kill:{kind}:1:{moment}"):
        create = ready(real)
        row = SCENARIOS[kind].begin(real, create.instance_id)
        assert real.settle(row).state == OperationState.DONE
        assert real.deaths == 1
        SCENARIOS[kind].done(real, row)


@pytest.mark.slow
def test_failure_after_prepare_leaves_nothing(real: World) -> None:
    with real.worker("fail:InstanceCreate:7:after"):
        create = real.create()
        assert real.settle(create).state == OperationState.FAILED
        SCENARIOS["InstanceCreate"].failed(real, create)


@pytest.mark.slow
@pytest.mark.parametrize("agent_step", ["initialise", "configure", "start", "secure", "databases", "users"])
def test_agent_killed_inside_prepare(real: World, agent_step: str) -> None:
    with real.worker():
        create = real.create()
        real.eventually(lambda: at_step(real, create, agent_step) or real.operation(create.id).state not in OperationState.open())
        for pid_file in (real.directory / "c" / "servers").glob("*/run/agent.pid"):
            kill(pid_file)
        ended = real.settle(create)
        assert ended.state == OperationState.DONE, ended.error_message
        assert usable(real.manager, address(real, create), "ada", PASSWORD)


@pytest.mark.slow
def test_power_loss_brings_engine_and_data_back(real: World) -> None:
    with real.worker():
        create = ready(real)
        for pid_file in (real.directory / "c" / "servers").glob("*/run/init.pid"):
            kill(pid_file)
        real.cloud.compute.reboot_server(str(real.instance(create.instance_id).server_key))
        assert real.eventually(lambda: usable(real.manager, address(real, create), "ada", PASSWORD))


def at_step(world: World, row: OperationRow, agent_step: str) -> bool:
    return any(step.progress.startswith(agent_step) for step in world.steps(row))


def kill(pid_file: Path) -> None:
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
