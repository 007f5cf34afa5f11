"""What an OpenStack does to a create: answers that are lost, refusals, quotas, no host, things in ERROR.  A failed create leaves nothing.

A proxy in front of the real services makes the faults; the audit is of the whole project, before and after.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from models import OperationRow, OperationState, StepState
from tests.durability.scenarios import SCENARIOS
from tests.support.faultproxy import Fault, FaultProxy
from tests.support.openstack_world import OpenStackWorld
from tests.support.testbed import Bed
from tests.support.world import Temporal, Zygote
from workflows.contracts import UserNetwork

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
def created(world: OpenStackWorld, **more: Any) -> Iterator[OperationRow]:
    with world.worker():
        yield world.create(**more)


@pytest.fixture(scope="module")
def everything(bed: Bed) -> dict[str, Any]:
    """Of the workflow's input, all that only some instances have."""
    with bed.tenant("alice") as alice:
        network = alice.network.find_network("private", ignore_missing=False)
    wanted = UserNetwork(network.id, 3306, ["10.99.10.0/24"], is_public=True)
    return {"network": wanted, "locality": "soft-affinity", "root_gb": 1}


def kinds(things: list[str]) -> list[str]:
    return [thing.partition(" coffer")[0].partition(" Coffer")[0] for thing in things]


def refused(world: OpenStackWorld, error_type: str, words: str, **more: Any) -> None:
    """The create ends with this error, and the project is as before."""
    with created(world, **more) as row:
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


def ports_quota(bed: Bed, project: str, restore: bool) -> None:
    if restore:
        bed.operator.network.delete_quota(project)
    else:
        bed.operator.network.update_quota(project, ports=0)


def cores_quota(bed: Bed, project: str, restore: bool) -> None:
    bed.operator.compute.update_quota_set(project, cores=20 if restore else 0)


def volumes_quota(bed: Bed, project: str, restore: bool) -> None:
    bed.operator.block_storage.update_quota_set(project, volumes=10 if restore else 0)


@pytest.mark.parametrize("quota", [ports_quota, volumes_quota, cores_quota], ids=["Neutron", "Cinder", "Nova"])
def test_a_quota_of_the_service_itself_ends_the_create(
    make_world: MakeWorld, bed: Bed, quota: Callable[[Bed, str, bool], None]
) -> None:
    project = bed.service.current_project_id
    quota(bed, project, False)
    try:
        refused(make_world(), "QuotaExceeded", "uota")
    finally:
        quota(bed, project, True)


def test_no_address_left_ends_the_create(make_world: MakeWorld, proxy: FaultProxy) -> None:
    body = {"NeutronError": {"type": "IpAddressGenerationFailure", "message": "No more IP addresses available on network."}}
    proxy.inject(Fault("POST", PORTS, status=409, body=body, times=100))
    refused(make_world(), "QuotaExceeded", "No more IP addresses")


def test_conflicts_of_ports_pass(make_world: MakeWorld, proxy: FaultProxy) -> None:
    """Another's address is on the way out, and Nova has not let go of the port yet."""
    taken = {"NeutronError": {"type": "IpAddressInUse", "message": "Unable to complete operation: the IP address is in use."}}
    in_use = {"conflictingRequest": {"code": 409, "message": "Port is still in use."}}
    conflicts = [Fault("POST", PORTS, status=409, body=taken, times=2), Fault("POST", SERVERS, status=409, body=in_use, times=2)]
    proxy.inject(*conflicts)
    world = make_world()
    with created(world) as row:
        assert world.settle(row).state == OperationState.DONE
        CREATE.done(world, row)
    assert [conflict.struck for conflict in conflicts] == [2, 2]


@pytest.mark.parametrize("path", [PORTS, VOLUMES, SERVERS], ids=["port", "volume", "server"])
def test_a_create_that_comes_late_is_nobodys_twice(make_world: MakeWorld, proxy: FaultProxy, path: str) -> None:
    """The client has given the answer up before the service was asked: both calls may make the thing.  One of them stays."""
    late = Fault("POST", path, delay=14.0)
    proxy.inject(late)
    world = make_world(call_timeout=10)
    with created(world) as row:
        assert world.settle(row).state == OperationState.DONE
        CREATE.done(world, row)
        delete = world.delete(row.instance_id)
        assert world.settle(delete).state == OperationState.DONE
        DELETE.done(world, delete)
    assert late.struck == 1


def test_a_keystone_that_is_away_and_tokens_that_end(make_world: MakeWorld, proxy: FaultProxy) -> None:
    unknown = {"error": {"code": 401, "message": "The request you have made requires authentication."}}
    proxy.inject(
        Fault("POST", r"/auth/tokens$", status=503, times=2),
        Fault("POST", r"/auth/tokens$", lost=True),
        *(Fault("POST", path, status=401, body=unknown) for path in (PORTS, VOLUMES, SERVERS)),
    )
    world = make_world()
    with created(world) as row:
        assert world.settle(row).state == OperationState.DONE
        CREATE.done(world, row)


def test_unwinding_meets_faults_and_still_leaves_nothing(make_world: MakeWorld, proxy: FaultProxy) -> None:
    body = {"forbidden": {"code": 403, "message": "Quota exceeded for cores"}}
    proxy.inject(Fault("POST", SERVERS, status=403, body=body, times=100))
    for path in (r"/volumes/[^/]+$", r"/ports/[^/]+$"):
        proxy.inject(
            Fault("DELETE", path, status=500, body={"computeFault": {"message": "unexpected"}}),
            Fault("DELETE", path, status=429, headers={"Retry-After": "1"}),
            Fault("DELETE", path, lost=True),
        )
    refused(make_world(), "QuotaExceeded", "Quota exceeded")


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


# -- what only some instances have: a tenant's network, a floating IP, a server group, a root volume

GROUPS, RULES, FLOATING, TOGETHER = r"/security-groups$", r"/security-group-rules$", r"/floatingips$", r"/os-server-groups$"


def test_lost_answers_and_refusals_on_the_way_to_a_tenants_network(
    make_world: MakeWorld, bed: Bed, proxy: FaultProxy, everything: dict[str, Any]
) -> None:
    before = bed.held()
    paths = (GROUPS, RULES, FLOATING, TOGETHER)
    lost = [Fault("POST", path, lost=True) for path in paths]
    proxy.inject(*lost, *(Fault("POST", path, status=503, headers={"Retry-After": "1"}) for path in paths))
    world = make_world()
    with created(world, **everything) as row:
        ended = world.settle(row)
        assert ended.state == OperationState.DONE, ended.error_message
        assert [fault.struck for fault in lost] == [1, 1, 1, 1]
        made = [thing for thing in bed.held() if thing not in before]
        assert kinds(made) == ["floating", "group", "port", "port", "server", "server group", "volume", "volume"]
        addresses = world.instance(row.instance_id).addresses
        assert [one["type"] for one in addresses] == ["private", "public"]
        assert world.instance(row.instance_id).management_address not in [one["address"] for one in addresses]

        removals = (r"/security-groups/[^/]+$", r"/floatingips/[^/]+$", r"/os-server-groups/[^/]+$")
        proxy.inject(*(Fault("DELETE", path, lost=True) for path in removals))
        delete = world.delete(row.instance_id)
        assert world.settle(delete).state == OperationState.DONE
        DELETE.done(world, delete)


@pytest.mark.parametrize("path", [SERVERS, FLOATING], ids=["server", "floating ip"])
def test_a_create_on_a_tenants_network_that_fails_leaves_nothing(
    make_world: MakeWorld, proxy: FaultProxy, everything: dict[str, Any], path: str
) -> None:
    body = {"forbidden": {"code": 403, "message": "Policy doesn't allow this to be performed."}}
    proxy.inject(Fault("POST", path, status=403, body=body, times=100))
    refused(make_world(), "CloudRejected", "Policy", **everything)


def test_a_quota_of_floating_ips_ends_the_create(make_world: MakeWorld, bed: Bed, everything: dict[str, Any]) -> None:
    project = bed.service.current_project_id
    bed.operator.network.update_quota(project, floating_ips=0)
    try:
        refused(make_world(), "QuotaExceeded", "Quota exceeded", **everything)
    finally:
        bed.operator.network.delete_quota(project)


def test_a_zone_that_is_not_there_ends_the_create(make_world: MakeWorld) -> None:
    refused(make_world(), "CloudRejected", "nowhere", availability_zone="nowhere")
