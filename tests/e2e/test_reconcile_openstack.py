"""What is broken in an OpenStack behind Coffer's back is told and mended, and what Coffer did not make is left as it is."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from clouds.openstack import Services, cloud_of
from clouds.openstack.bootstrap import PURPOSE
from clouds.ports import ServerStatus, VolumeStatus, WantPort
from models import Instance, InstanceState, OperationState
from models.base import new_id
from tests.durability.scenarios import delete_done
from tests.support.openstack_world import TIMEOUT_SCALE, OpenStackWorld
from tests.support.testbed import MANAGEMENT, Bed
from tests.support.world import Temporal, Zygote

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(900)]

OPTIONS = "[reconcile]\ngrace = 0\nwatch_interval = 2\n"
A_MINUTE = 60.0
GROUP = "coffer-test-rules"


@pytest.fixture(scope="module")
def world(bed: Bed) -> Iterator[OpenStackWorld]:
    temporal, zygote = Temporal(), Zygote(TIMEOUT_SCALE)
    world = OpenStackWorld(bed, temporal, zygote, options=OPTIONS)
    with world.worker():
        yield world
    world.close()
    zygote.close()
    temporal.close()


def reconcile(world: OpenStackWorld, *words: str) -> list[dict[str, Any]]:
    told = CliRunner().invoke(main, ["reconcile", *words, "--json", "--config", str(world.config_file)])
    assert told.stdout, (told.stderr, told.exception)
    rows: list[dict[str, Any]] = json.loads(told.stdout)
    return rows


def lost(world: OpenStackWorld, instance_id: str) -> Instance:
    """The instance, once its tenant has been told: within a minute."""
    world.eventually(lambda: world.instance(instance_id).state is InstanceState.ERROR, A_MINUTE)
    return world.instance(instance_id)


def test_what_was_taken_from_a_server_is_given_back_and_a_server_that_goes_is_told(bed: Bed, world: OpenStackWorld) -> None:
    instance_id = world.ready_instance()
    assert reconcile(world) == []
    world.take_away(instance_id)
    assert "switched off" in str(lost(world, instance_id).fault_message)
    assert {one["kind"] for one in reconcile(world)} == {"stopped", "detached"}
    outcomes = {one["outcome"] for one in reconcile(world, "--fix", "--yes")}
    (outcome,) = outcomes
    ended = world.settle(world.operation(outcome.removeprefix("operation ")))
    assert ended.state is OperationState.DONE, (ended.error_type, ended.error_message)
    assert world.instance(instance_id).state is InstanceState.READY
    (server,), (volume,) = world.cloud.compute.servers_of(instance_id), world.cloud.volumes.volumes_of(instance_id)
    assert (server.status, volume.status) == (ServerStatus.ACTIVE, VolumeStatus.IN_USE)
    assert reconcile(world) == []

    bed.service.compute.delete_server(server.id)
    world.eventually(lambda: "is gone" in str(lost(world, instance_id).fault_message), A_MINUTE)
    delete_done(world, world.settle(world.delete(instance_id)))


def test_orphans_go_and_what_others_have_made_stays(bed: Bed, world: OpenStackWorld) -> None:
    row = world.create()
    world.settle(row)
    delete_done(world, world.settle(world.delete(row.instance_id)))
    left, others = f"coffer-{row.id}-port", f"coffer-{new_id()}-port"
    cloud = bed.connect()
    cloud.networks.create_port(WantPort(left, row.instance_id))
    cloud.networks.create_port(WantPort(others, new_id()))
    network = bed.service.network.find_network(MANAGEMENT)
    foreign = bed.service.network.create_port(name="foreign", network_id=network.id)
    volume = bed.service.block_storage.create_volume(name="foreign", size=1)
    try:
        assert {(one["key"], one["repair"]) for one in reconcile(world)} == {(left, "remove it"), (others, "")}
        assert [one["key"] for one in reconcile(world, "--fix", "--dry-run")] == [left]
        assert cloud.networks.show_port(left)
        assert [one["outcome"] for one in reconcile(world, "--fix", "--yes")] == ["done"]
        assert world.left() == sorted([f"neutron port {others}", "neutron port foreign", "cinder volume foreign"])
    finally:
        bed.service.network.delete_port(foreign)
        bed.service.block_storage.delete_volume(volume, ignore_missing=True)
        cloud.networks.delete_port(left)
        cloud.networks.delete_port(others)


def test_a_second_volume_of_a_key_goes_and_the_one_in_use_stays(bed: Bed, world: OpenStackWorld) -> None:
    instance_id = world.ready_instance()
    (volume,) = world.cloud.volumes.volumes_of(instance_id)
    raw = bed.service.block_storage.get_volume(volume.id)
    late = bed.service.block_storage.create_volume(name=raw.name, size=1, metadata=raw.metadata)
    bed.service.block_storage.wait_for_status(late, "available", wait=60)
    try:
        assert [(one["id"], one["repair"]) for one in reconcile(world)] == [(late.id, "remove it, keep the one in use")]
        assert [one["outcome"] for one in reconcile(world, "--fix", "--yes")] == ["done"]
        bed.service.block_storage.wait_for_delete(late, wait=60)
        assert world.cloud.volumes.volumes_of(instance_id) == [volume]
        assert reconcile(world) == []
    finally:
        delete_done(world, world.settle(world.delete(instance_id)))


@pytest.fixture
def group(bed: Bed) -> Iterator[Any]:
    """A management group as `coffer openstack bootstrap` makes it, but for its rule."""
    made = bed.service.network.create_security_group(name=GROUP, description=PURPOSE)
    yield made
    bed.service.network.delete_security_group(made)


def test_rules_and_groups_are_set_right(bed: Bed, group: Any) -> None:
    network = bed.service.network
    settings = dataclasses.replace(bed.settings(), management_security_group=GROUP)
    cloud = cloud_of(Services(settings, lambda method, url: None), settings)
    extra = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
    network.create_security_group_rule(security_group_id=group.id, **extra)
    key, owner = f"coffer-{new_id()}-port", new_id()
    port = cloud.networks.create_port(WantPort(key, owner))
    try:
        shared = cloud.rules.wrong(lambda port: False)
        assert [(one.thing, one.mendable) for one in shared] == [("security rule", True), ("security rule", False)]
        network.update_port(port.id, security_groups=[])
        found = cloud.rules.wrong(lambda port: port.owner == owner)
        assert [one.wrong.split(",")[0] for one in found] == [
            f"that lets tcp {settings.channel_port} in is missing",
            "lets in tcp 22 from everywhere",
            "has other security groups: none",
        ]
        for _ in range(2):
            for one in found:
                cloud.rules.mend(one)
        assert cloud.rules.wrong(lambda port: port.owner == owner) == []
        assert network.get_port(port.id).security_group_ids == [group.id]
    finally:
        cloud.networks.delete_port(key)
