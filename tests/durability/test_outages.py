"""Temporal, SQL or the guest away for a while: the operation waits and ends right."""

import os
import signal
import sqlite3
import threading
from pathlib import Path

import pytest

from models import OperationState
from tests.durability.scenarios import SCENARIOS, create_done
from tests.support.world import World

pytestmark = pytest.mark.durability

AWAY = 4.0


def away(seconds: float = AWAY) -> None:
    threading.Event().wait(seconds)


@pytest.mark.parametrize("step", ["1", "5", "7", "finish"])
def test_temporal_away_while_a_step_runs(world: World, step: str) -> None:
    with world.worker(f"hold:InstanceCreate:{step}:before"):
        create = world.create()
        world.eventually((world.directory / "holding").exists)
        server = temporal_pid(world)
        os.kill(server, signal.SIGSTOP)
        try:
            (world.directory / "release").touch()
            away()
        finally:
            os.kill(server, signal.SIGCONT)
        assert world.settle(create).state == OperationState.DONE
        create_done(world, create)


@pytest.mark.parametrize("kind", sorted(SCENARIOS))
def test_sql_away_while_an_operation_runs(world: World, kind: str) -> None:
    scenario = SCENARIOS[kind]
    with world.worker():
        instance_id = world.ready_instance() if scenario.needs_instance else ""
        row = scenario.begin(world, instance_id)
        blocker = sqlite3.connect(world.directory / "coffer.db", isolation_level=None, timeout=30)
        blocker.execute("BEGIN EXCLUSIVE")
        away()
        blocker.execute("COMMIT")
        blocker.close()
        assert world.settle(row).state == OperationState.DONE
        scenario.done(world, row)


@pytest.mark.parametrize("kind", ["InstanceRestart", "GuestWrite"])
@pytest.mark.parametrize("part", ["agent", "sshd"])
def test_guest_away_while_its_job_is_due(world: World, kind: str, part: str) -> None:
    with world.worker():
        instance_id = world.ready_instance()
    (pid_file,) = (world.directory / "c" / "servers").glob(f"*/run/{part}.pid")
    pid = int(pid_file.read_text())
    with world.worker():  # a new one, with no connection to the guest yet
        os.kill(pid, signal.SIGSTOP)
        try:
            row = SCENARIOS[kind].begin(world, instance_id)
            away()
            assert world.operation(row.id).state in OperationState.open()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert world.settle(row).state == OperationState.DONE
        SCENARIOS[kind].done(world, row)


def temporal_pid(world: World) -> int:
    """The dev server behind the world's address: the one process of ours that listens there."""
    port = world.temporal.address.rsplit(":", 1)[1]
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (words := _cmdline(entry.path)) and b"start-dev" in words and port.encode() in words:
            return int(entry.name)
    raise AssertionError(f"nothing listens at {world.temporal.address}")


def _cmdline(process: str) -> list[bytes]:
    try:
        return (Path(process) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
