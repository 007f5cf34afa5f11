"""One scenario per workflow of the registry: how it begins, its steps, and what the world looks like when it ended well or badly."""

from collections.abc import Callable
from dataclasses import dataclass

from clouds.ports import ServerStatus, VolumeStatus
from models import InstanceState, OperationRow, OperationState
from tests.support.world import World


@dataclass(frozen=True)
class Scenario:
    """`steps`: the activity ids of a run without faults, in order.  `undos`: those of a full unwinding.

    `cancel`: what a cancel during a step leads to, "unwinds" or "goes forward".  `instance_id` is "" where the operation makes one.
    """

    kind: str
    begin: Callable[[World, str], OperationRow]
    steps: tuple[str, ...]
    done: Callable[[World, OperationRow], None]
    failed: Callable[[World, OperationRow], None]
    undos: tuple[str, ...] = ()
    cancel: str = "goes forward"
    needs_instance: bool = True

    @property
    def unwinding_step(self) -> str:
        """The last step that can fail: everything before it must be taken back."""
        return self.steps[-2]


def _instance_is(world: World, row: OperationRow, state: InstanceState) -> None:
    instance = world.instance(row.instance_id)
    assert instance.state == state
    assert instance.operation_id is None, "the lock is still held"


def create_done(world: World, row: OperationRow) -> None:
    _instance_is(world, row, InstanceState.READY)
    instance = world.instance(row.instance_id)
    assert instance.management_address
    assert world.usage() == {"instances": 1, "volumes": 1, "ram": 512}
    cloud = world.cloud
    made = cloud.compute.servers_of(instance.id), cloud.volumes.volumes_of(instance.id), cloud.networks.ports_of(instance.id)
    assert [len(things) for things in made] == [1, 1, 1], made
    assert world.doubled() == []
    assert world.queues() == [f"guest-{instance.id}"]


def create_failed(world: World, row: OperationRow) -> None:
    _instance_is(world, row, InstanceState.ERROR)
    instance = world.instance(row.instance_id)
    assert instance.fault_message, "the tenant can't read why"
    assert instance.server_key is None
    assert world.left() == []
    assert world.queues() == []
    assert world.usage() == {"instances": 0, "volumes": 0, "ram": 0}


def delete_done(world: World, row: OperationRow) -> None:
    _instance_is(world, row, InstanceState.DELETED)
    assert world.left() == []
    assert world.queues() == []
    assert world.usage() == {"instances": 0, "volumes": 0, "ram": 0}


def delete_failed(world: World, row: OperationRow) -> None:
    _instance_is(world, row, InstanceState.ERROR)
    instance = world.instance(row.instance_id)
    assert instance.fault_message
    assert instance.delete_operation_id is None, "it can't be asked for again"


def restart_done(world: World, row: OperationRow) -> None:
    _instance_is(world, row, InstanceState.READY)


def restart_failed(world: World, row: OperationRow) -> None:
    _instance_is(world, row, InstanceState.ERROR)
    assert world.instance(row.instance_id).fault_message


def broken(world: World, instance_id: str) -> World:
    """Somebody has switched the server off, and taken its volume away, behind our back."""
    world.take_away(instance_id)
    world.eventually(lambda: world.cloud.compute.servers_of(instance_id)[0].status is ServerStatus.SHUTOFF)
    return world


def repair_done(world: World, row: OperationRow) -> None:
    _instance_is(world, row, InstanceState.READY)
    (server,) = world.cloud.compute.servers_of(row.instance_id)
    (volume,) = world.cloud.volumes.volumes_of(row.instance_id)
    assert (server.status, volume.status) == (ServerStatus.ACTIVE, VolumeStatus.IN_USE)
    assert world.doubled() == []


def write_done(world: World, row: OperationRow) -> None:
    _instance_is(world, row, InstanceState.READY)


def upgrade_done(world: World, row: OperationRow) -> None:
    """One release besides the server's first, and it is the one in use."""
    _instance_is(world, row, InstanceState.READY)
    (server,) = (entry for entry in (world.directory / "c" / "servers").iterdir() if entry.is_dir())
    made = {
        entry.name for entry in (server / "releases").iterdir() if (entry / "manifest.json").exists() and not entry.is_symlink()
    }
    assert made == {(server / "releases/current").readlink().name}


def access_done(world: World, row: OperationRow) -> None:
    _instance_is(world, row, InstanceState.READY)
    assert world.instance(row.instance_id).access == row.input["wanted"]


def object_check_done(world: World, row: OperationRow) -> None:
    """What was sent was read back, and nothing of it is left."""
    _instance_is(world, row, InstanceState.READY)
    assert world.cloud.objects.objects(row.project_id) == []


def object_check_failed(world: World, row: OperationRow) -> None:
    write_failed(world, row)
    assert world.cloud.objects.objects(row.project_id) == []


def write_failed(world: World, row: OperationRow) -> None:
    """A change that was refused leaves the instance as well as it was."""
    _instance_is(world, row, InstanceState.READY)
    assert world.operation(row.id).state == OperationState.FAILED


SCENARIOS: dict[str, Scenario] = {
    s.kind: s
    for s in (
        Scenario(
            "InstanceCreate",
            lambda world, _: world.create(),
            steps=("claim", "1", "2", "3", "4", "5", "6", "7", "8", "finish"),
            undos=("undo-5", "undo-4", "undo-3", "undo-2", "undo-1"),
            done=create_done,
            failed=create_failed,
            cancel="unwinds",
            needs_instance=False,
        ),
        Scenario(
            "InstanceDelete",
            lambda world, instance_id: world.delete(instance_id),
            steps=("claim", "1", "2", "3", "4", "5", "6", "finish"),
            done=delete_done,
            failed=delete_failed,
        ),
        Scenario(
            "InstanceRestart",
            lambda world, instance_id: world.restart(instance_id),
            steps=("claim", "1", "finish"),
            done=restart_done,
            failed=restart_failed,
        ),
        Scenario(
            "InstanceAccess",
            lambda world, instance_id: world.change_access(instance_id),
            steps=("claim", "1", "2", "finish"),
            done=access_done,
            failed=write_failed,
        ),
        Scenario(
            "InstanceRepair",
            lambda world, instance_id: broken(world, instance_id).repair(instance_id),
            steps=("claim", "1", "2", "3", "finish"),
            done=repair_done,
            failed=restart_failed,
        ),
        Scenario(
            "GuestUpgrade",
            lambda world, instance_id: world.upgrade(instance_id),
            steps=("claim", "1", "finish"),
            done=upgrade_done,
            failed=write_failed,
        ),
        Scenario(
            "GuestObjectCheck",
            lambda world, instance_id: world.check_objects(instance_id),
            steps=("claim", "1", "2", "3", "finish"),
            undos=("undo-1",),
            done=object_check_done,
            failed=object_check_failed,
        ),
        Scenario(
            "GuestWrite",
            lambda world, instance_id: world.write(instance_id),
            steps=("claim", "1", "finish"),
            done=write_done,
            failed=write_failed,
        ),
    )
}
