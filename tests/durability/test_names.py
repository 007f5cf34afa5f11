"""The faults of the matrix at the steps that only instances with a name have."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from clouds.ports import WantRecord
from models import OperationRow, OperationState, StepState
from tests.durability.scenarios import create_done, create_failed, delete_done
from tests.support.world import World

pytestmark = pytest.mark.durability

ZONE = "db.test"
MADE, REMOVED = "8", "4"
"""The step that makes the record in a create, and the one that removes it in a delete."""
MOMENTS = pytest.mark.parametrize("moment", ["before", "after"])


@contextmanager
def creating(world: World, plan: str = "") -> Iterator[OperationRow]:
    with world.worker(plan):
        yield world.create(zone=ZONE)


def hosts(world: World) -> list[str]:
    file = world.directory / "c" / "hosts"
    return file.read_text().splitlines() if file.exists() else []


def is_named(world: World, row: OperationRow) -> None:
    create_done(world, row)
    instance = world.instance(row.instance_id)
    assert instance.hostname == f"{instance.id}.{ZONE}"
    assert hosts(world) == [f"{instance.addresses[0]['address']} {instance.hostname}"]


def is_nameless(world: World, row: OperationRow) -> None:
    create_failed(world, row)
    assert world.instance(row.instance_id).hostname is None
    assert hosts(world) == []


def test_the_step_has_the_number_that_these_tests_take_it_to_have(world: World) -> None:
    with creating(world) as row:
        assert world.settle(row).state == OperationState.DONE
        made = {step.id: step.name for step in world.steps(row)}
        delete = world.delete(row.instance_id, named=True)
        assert world.settle(delete).state == OperationState.DONE
        removed = {step.id: step.name for step in world.steps(delete)}
    assert (made[MADE], removed[REMOVED]) == ("designate.set_record", "designate.delete_records_of")
    delete_done(world, delete)
    assert hosts(world) == []


@MOMENTS
def test_a_worker_killed_at_the_record_completes(world: World, moment: str) -> None:
    with creating(world, f"kill:InstanceCreate:{MADE}:{moment}") as row:
        assert world.settle(row).state == OperationState.DONE
        assert world.deaths == 1
        is_named(world, row)


@MOMENTS
def test_a_failure_at_the_record_leaves_a_clean_slate(world: World, moment: str) -> None:
    with creating(world, f"fail:InstanceCreate:{MADE}:{moment}") as row:
        ended = world.settle(row)
        assert (ended.state, ended.error_type) == (OperationState.FAILED, "Injected")
        is_nameless(world, row)


@MOMENTS
def test_a_worker_killed_while_it_takes_the_record_back_leaves_none(world: World, moment: str) -> None:
    with creating(world, f"fail:InstanceCreate:{MADE}:after;kill:InstanceCreate:undo-{MADE}:{moment}") as row:
        assert world.settle(row).state == OperationState.FAILED
        assert world.deaths == 1
        is_nameless(world, row)


def test_a_cancel_during_the_record_unwinds(world: World) -> None:
    with creating(world, f"hold:InstanceCreate:{MADE}:before") as row:
        world.eventually((world.directory / "holding").exists)
        world.temporal.loop.run(world.handle(row).cancel())
        (world.directory / "release").touch()
        assert world.settle(row).state == OperationState.CANCELLED
        is_nameless(world, row)


def test_a_record_that_is_made_twice_is_one(world: World) -> None:
    with creating(world, "twice:InstanceCreate") as row:
        assert world.settle(row).state == OperationState.DONE
        is_named(world, row)


@MOMENTS
def test_a_worker_killed_while_it_deletes_the_record_completes(world: World, moment: str) -> None:
    with creating(world, f"kill:InstanceDelete:{REMOVED}:{moment}") as row:
        assert world.settle(row).state == OperationState.DONE
        delete = world.delete(row.instance_id, named=True)
        assert world.settle(delete).state == OperationState.DONE
        assert world.deaths == 1
        delete_done(world, delete)
        assert hosts(world) == []


def test_a_name_that_is_somebody_elses_ends_the_create(world: World) -> None:
    with creating(world, f"hold:InstanceCreate:{MADE}:before") as row:
        world.eventually((world.directory / "holding").exists)
        foreign = _taken(world, row)
        (world.directory / "release").touch()
        ended = world.settle(row)
        assert (ended.state, ended.error_type) == (OperationState.FAILED, "CloudRejected")
        assert "somebody else's" in str(world.instance(row.instance_id).fault_message)
        assert ("designate.set_record", StepState.FAILED) in [(step.name, step.state) for step in world.steps(row)]
        assert [record.key for record in world.cloud.names.records()] == [foreign]
        world.cloud.names.delete_record(foreign)
        is_nameless(world, row)


def _taken(world: World, row: OperationRow) -> str:
    key = "coffer-somebody-else-name"
    world.cloud.names.create_record(WantRecord(key, "somebody-else", f"{row.instance_id}.{ZONE}", "192.0.2.1"))
    return key
