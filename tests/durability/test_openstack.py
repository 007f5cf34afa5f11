"""What an OpenStack does to a create: answers that are lost, refusals, quotas, no host, things in ERROR.  A failed create leaves nothing.

A proxy in front of the real services makes the faults; the audit is of the whole project, before and after.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from models import OperationRow, OperationState, StepState
from tests.durability.scenarios import SCENARIOS
from tests.support.faultproxy import Fault, FaultProxy, fault_proxy
from tests.support.openstack_world import TIMEOUT_SCALE, OpenStackWorld
from tests.support.testbed import CLOUDS_FILE, Bed, testbed
from tests.support.world import Temporal, Zygote

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(600)]

PORTS, VOLUMES, SERVERS = r"/ports$", r"/volumes$", r"/servers$"
CREATES = pytest.mark.parametrize(
    "path",
    [
        pytest.param(PORTS, id="port"),
        pytest.param(VOLUMES, id="volume"),
        pytest.param(SERVERS, id="server", marks=pytest.mark.short),
    ],
)
LISTS = {"port": r"/ports$", "volume": r"/volumes/detail$", "server": r"/servers/detail$"}
CREATE, DELETE = SCENARIOS["InstanceCreate"], SCENARIOS["InstanceDelete"]


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    if not CLOUDS_FILE:
        pytest.skip("COFFER_TESTBED_CLOUDS names no OpenStack")
    with testbed() as found:
        yield found


@pytest.fixture(scope="module")
def slow_zygote() -> Iterator[Zygote]:
    z = Zygote(TIMEOUT_SCALE)
    yield z
    z.close()


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with fault_proxy() as proxy:
        yield proxy


MakeWorld = Callable[..., OpenStackWorld]


@pytest.fixture
def make_world(bed: Bed, temporal: Temporal, slow_zygote: Zygote, proxy: FaultProxy) -> Iterator[MakeWorld]:
    """A world whose worker goes through the proxy; arguments are options of [cloud]."""
    made: list[OpenStackWorld] = []

    def make(**cloud: Any) -> OpenStackWorld:
        world = OpenStackWorld(bed, temporal, slow_zygote, **cloud)
        world.environment = {"http_proxy": proxy.url, "no_proxy": ""}
        made.append(world)
        return world

    yield make
    for world in made:
        world.close()


@contextmanager
def created(world: OpenStackWorld) -> Iterator[OperationRow]:
    with world.worker():
        yield world.create()


def refused(world: OpenStackWorld, error_type: str, words: str) -> None:
    """The create ends with this error, and the project is as before."""
    with created(world) as row:
        ended = world.settle(row)
        assert (ended.state, ended.error_type) == (OperationState.FAILED, error_type)
        assert words in ended.error_message
        CREATE.failed(world, row)


@CREATES
def test_a_create_whose_answer_is_lost_is_found(make_world: MakeWorld, proxy: FaultProxy, path: str) -> None:
    lost = Fault("POST", path, lost=True)
    proxy.inject(lost)
    world = make_world()
    with created(world) as row:
        assert world.settle(row).state == OperationState.DONE
        CREATE.done(world, row)
    assert lost.struck == 1
    made = [call for call in proxy.calls() if call.startswith("POST") and call.endswith(path.rstrip("$"))]
    assert len(made) == 1, "it was made again"


@CREATES
def test_a_service_that_is_overloaded_is_asked_again(make_world: MakeWorld, proxy: FaultProxy, path: str) -> None:
    proxy.inject(
        Fault("POST", path, status=503, headers={"Retry-After": "1"}, body={"message": "away"}),
        Fault("POST", path, status=429, headers={"Retry-After": "1"}, body={"overLimit": {"message": "too many"}}),
        Fault("POST", path, status=500, body={"computeFault": {"message": "unexpected"}}),
    )
    world = make_world()
    with created(world) as row:
        assert world.settle(row).state == OperationState.DONE
        CREATE.done(world, row)


def test_looks_that_fail_are_repeated(make_world: MakeWorld, proxy: FaultProxy) -> None:
    for path in LISTS.values():
        proxy.inject(Fault("GET", path, status=500), Fault("GET", path, lost=True), Fault("GET", path, delay=3.0))
    world = make_world()
    with created(world) as row:
        assert world.settle(row).state == OperationState.DONE
        delete = world.delete(row.instance_id)
        assert world.settle(delete).state == OperationState.DONE
        DELETE.done(world, delete)


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        pytest.param(PORTS, 409, {"NeutronError": {"type": "OverQuota", "message": "Quota exceeded for port"}}, id="port"),
        pytest.param(VOLUMES, 413, {"overLimit": {"code": 413, "message": "Quota exceeded: volumes"}}, id="volume"),
        pytest.param(SERVERS, 403, {"forbidden": {"code": 403, "message": "Quota exceeded for cores"}}, id="server"),
    ],
)
def test_a_quota_of_the_service_project_ends_the_create(
    make_world: MakeWorld, proxy: FaultProxy, path: str, status: int, body: dict[str, object]
) -> None:
    proxy.inject(Fault("POST", path, status=status, body=body, times=100))
    refused(make_world(), "QuotaExceeded", "Quota exceeded")


def test_a_quota_of_neutron_itself_ends_the_create(make_world: MakeWorld, bed: Bed) -> None:
    project = bed.service.current_project_id
    bed.operator.network.update_quota(project, ports=0)
    try:
        refused(make_world(), "QuotaExceeded", "Quota exceeded")
    finally:
        bed.operator.network.delete_quota(project)


def test_what_the_service_user_may_not_do_ends_the_create(make_world: MakeWorld, proxy: FaultProxy) -> None:
    body = {"forbidden": {"code": 403, "message": "Policy doesn't allow os_compute_api:servers:create to be performed."}}
    proxy.inject(Fault("POST", SERVERS, status=403, body=body, times=100))
    refused(make_world(), "CloudRejected", "Policy")


def test_no_host_that_is_large_enough_ends_the_create(make_world: MakeWorld, bed: Bed) -> None:
    flavor = bed.operator.compute.create_flavor(name="coffer-test-huge", ram=512, vcpus=1, disk=100_000)
    try:
        world = make_world(flavor_id=flavor.id)
        refused(world, "ServerFailed", "No valid host")
    finally:
        bed.operator.compute.delete_flavor(flavor)


def test_a_volume_in_error_ends_the_create(make_world: MakeWorld, bed: Bed) -> None:
    kind = bed.operator.block_storage.create_type(name="coffer-test-nowhere")
    bed.operator.block_storage.update_type_extra_specs(kind, volume_backend_name="nowhere")
    try:
        refused(make_world(volume_type=kind.name), "VolumeFailed", "could not be made")
    finally:
        bed.operator.block_storage.delete_type(kind)


def test_a_server_that_goes_to_error_after_it_was_active_ends_the_create(make_world: MakeWorld, bed: Bed) -> None:
    """Its guest never answers."""
    world = make_world(image_id=bed.image("idle", ""), no_progress_deadline=15)
    with created(world) as row:
        made = ("nova.create_server", StepState.DONE)
        world.eventually(lambda: made in [(step.name, step.state) for step in world.steps(row)], world.patience)
        (server,) = bed.connect().compute.servers_of(row.instance_id)
        bed.operator.compute.reset_server_state(server.id, "error")
        ended = world.settle(row)
        assert (ended.state, ended.error_type) == (OperationState.FAILED, "NoProgress")
        CREATE.failed(world, row)


@pytest.mark.parametrize("path", [r"/servers/[^/]+$", r"/volumes/[^/]+$", r"/ports/[^/]+$"], ids=["server", "volume", "port"])
def test_a_removal_whose_answer_is_lost_is_completed(make_world: MakeWorld, proxy: FaultProxy, path: str) -> None:
    world = make_world()
    with created(world) as row:
        assert world.settle(row).state == OperationState.DONE
        proxy.inject(Fault("DELETE", path, lost=True), Fault("DELETE", path, status=503, headers={"Retry-After": "1"}))
        delete = world.delete(row.instance_id)
        assert world.settle(delete).state == OperationState.DONE
        DELETE.done(world, delete)
