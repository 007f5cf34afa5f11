"""Networks, access, zones and the like, where the cloud has them: what is checked before anything is recorded, and what the workflow is given."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from api.context import EXTENSION
from clouds.ports import CloudError, Nic
from tests.api.stand import PROJECTS, Stand
from tests.api.test_instances import fault

NETWORK, SUBNET = "1" * 8 + "-1111-1111-1111-" + "1" * 12, "2" * 8 + "-2222-2222-2222-" + "2" * 12


class Neighbours:
    """In the place of clouds/openstack/tenants.py, which the contract tests hold against a real Neutron."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Nic, bool]] = []
        self.error: CloudError | None = None

    def nic(self, token: str, project_id: str, wanted: Nic, *, public: bool) -> Nic:
        self.asked.append((token, project_id, wanted, public))
        if self.error:
            raise self.error
        return dataclasses.replace(wanted, network_id=NETWORK)


@pytest.fixture
def neighbours(stand: Stand) -> Iterator[Neighbours]:
    found = Neighbours()
    parts = stand.app.extensions[EXTENSION]
    stand.app.extensions[EXTENSION] = dataclasses.replace(parts, tenants=found)
    stand.conf.set_override("driver", "openstack", "cloud")
    yield found
    stand.conf.clear_override("driver", "cloud")


def job_of(stand: Stand) -> dict[str, Any]:
    (run,) = stand.temporal.of("InstanceCreate")
    return stand.operation(run.op.id).input


def test_the_network_is_looked_at_as_the_tenant_and_handed_on(stand: Stand, neighbours: Neighbours) -> None:
    nic = {"subnet_id": SUBNET, "ip_address": "10.0.0.7"}
    access = {"is_public": True, "allowed_cidrs": ["10.1.2.3/8", "192.0.2.7"]}
    view = stand.alpha.create(nics=[nic], access=access).json["instance"]
    assert view["access"] == {"is_public": True, "allowed_cidrs": ["10.0.0.0/8", "192.0.2.7/32"]}
    assert neighbours.asked == [(stand.alpha.token, PROJECTS["alpha"], Nic(None, SUBNET, "10.0.0.7"), True)]
    assert job_of(stand)["network"] == {
        "network_id": NETWORK,
        "port": 3306,
        "allowed_cidrs": ["10.0.0.0/8", "192.0.2.7/32"],
        "subnet_id": SUBNET,
        "ip_address": "10.0.0.7",
        "is_public": True,
    }


@pytest.mark.parametrize("name", ["net-id", "network_id"])
def test_without_networks_named_everybody_who_reaches_it_is_let_in(stand: Stand, neighbours: Neighbours, name: str) -> None:
    assert stand.alpha.create(nics=[{name: NETWORK}], datastore={"type": "redis"}).status_code == 200
    network = job_of(stand)["network"]
    assert (network["port"], network["allowed_cidrs"], network["is_public"]) == (6379, ["0.0.0.0/0"], False)


def test_zone_locality_and_type_are_handed_on(stand: Stand, neighbours: Neighbours) -> None:
    view = stand.alpha.create(locality="anti-affinity", availability_zone="az1", volume={"size": 1, "type": "fast"}).json[
        "instance"
    ]
    job = job_of(stand)
    assert (job["locality"], job["availability_zone"], job["volume_type"]) == ("anti-affinity", "az1", "fast")
    assert (view["locality"], job["network"], job["root_gb"]) == ("anti-affinity", None, 0)


def test_a_root_volume_is_as_large_as_the_flavors_disk(stand: Stand, neighbours: Neighbours) -> None:
    stand.conf.set_override("boot_from_volume", True, "cloud")
    try:
        assert stand.alpha.create(flavorRef="db.small").status_code == 200
    finally:
        stand.conf.clear_override("boot_from_volume", "cloud")
    assert job_of(stand)["root_gb"] == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"nics": [{}]}, "nics[0]: Name the network or a subnet"),
        ({"nics": [{"network_id": NETWORK}] * 2}, "more than one network"),
        ({"nics": [{"network_id": NETWORK, "net-id": SUBNET}]}, "two networks"),
        ({"nics": [{"network_id": NETWORK, "ip_address": "10.0.0.7"}]}, "ip_address: Name the subnet"),
        ({"nics": [{"subnet_id": SUBNET, "ip_address": "10.0.0.700"}]}, "ip_address: Must be an IPv4 address"),
        ({"nics": [{"subnet_id": SUBNET, "ip_address": "::1"}]}, "ip_address: Must be an IPv4 address"),
        ({"nics": [{"port-id": SUBNET}]}, "nics[0].port-id: Unknown field"),
        ({"nics": [{"network_id": "../ports"}]}, "network_id: Not a valid UUID"),
        ({"access": {"is_public": True}}, "name it in `nics`"),
        ({"access": {"allowed_cidrs": ["10.0.0.0/8"]}}, "name it in `nics`"),
        ({"nics": [{"network_id": NETWORK}], "access": {"allowed_cidrs": ["10.0.0.0/33"]}}, "Must be an IPv4 network"),
        ({"nics": [{"network_id": NETWORK}], "access": {"allowed_cidrs": ["fe80::/10"]}}, "Must be an IPv4 network"),
        ({"nics": [{"network_id": NETWORK}], "access": {"allowed_cidrs": ["10.0.0.0/8", "10.1.0.0/8"]}}, "twice"),
        ({"nics": [{"network_id": NETWORK}], "access": {"allowed_cidrs": ["10.0.0.0/8"] * 51}}, "allowed_cidrs"),
        ({"locality": "near"}, "instance.locality: Must be one of"),
    ],
)
def test_what_is_wrong_in_itself_is_told(stand: Stand, neighbours: Neighbours, fields: dict[str, Any], words: str) -> None:
    answer = stand.alpha.create(**fields)
    assert answer.status_code == 400
    assert words in fault(answer)[1]
    assert (neighbours.asked, stand.temporal.runs, stand.used(PROJECTS["alpha"])) == ([], [], 0)


@pytest.mark.parametrize(("status", "seen"), [(400, 400), (401, 503), (500, 503), (503, 503)])
def test_what_the_cloud_says_against_it_is_told(stand: Stand, neighbours: Neighbours, status: int, seen: int) -> None:
    neighbours.error = CloudError("Network 'x' cannot be found.", status)
    answer = stand.alpha.create(nics=[{"network_id": NETWORK}])
    assert answer.status_code == seen
    assert ("cannot be found" in fault(answer)[1]) == (seen == 400)
    assert (stand.temporal.runs, stand.used(PROJECTS["alpha"])) == ([], 0)


def test_networks_need_keystones_tokens(stand: Stand, neighbours: Neighbours) -> None:
    parts = stand.app.extensions[EXTENSION]
    stand.app.extensions[EXTENSION] = dataclasses.replace(parts, tenants=None)
    answer = stand.alpha.create(nics=[{"network_id": NETWORK}])
    assert answer.status_code == 400
    assert "leave `nics` out" in fault(answer)[1]


# -- changing it


def on_a_network(stand: Stand, **fields: Any) -> str:
    instance_id = stand.ready(nics=[{"network_id": NETWORK}], **fields)
    stand.set(instance_id, addresses=[{"address": "10.0.0.7", "type": "private", "network": NETWORK}])
    return instance_id


def test_access_is_changed_by_an_operation(stand: Stand, neighbours: Neighbours) -> None:
    instance_id = on_a_network(stand, access={"allowed_cidrs": ["10.0.0.0/8"]})
    wanted = {"is_public": True, "allowed_cidrs": ["192.0.2.0/24"]}
    assert stand.alpha.put(f"/instances/{instance_id}", {"instance": {"access": wanted}}).status_code == 202
    (run,) = stand.temporal.of("InstanceAccess")
    job = stand.operation(run.op.id).input
    assert (job["port"], job["wanted"]) == (3306, wanted)
    assert job["before"] == {"is_public": False, "allowed_cidrs": ["10.0.0.0/8"]}
    again = stand.alpha.put(f"/instances/{instance_id}", {"instance": {"access": wanted}})
    assert again.status_code == 422, "two changes at a time"
    stand.temporal.finish(run)
    assert stand.alpha.get(f"/instances/{instance_id}").json["instance"]["access"] == wanted


def test_a_change_that_fails_leaves_what_was(stand: Stand, neighbours: Neighbours) -> None:
    instance_id = on_a_network(stand, access={"allowed_cidrs": ["10.0.0.0/8"]})
    stand.alpha.patch(f"/instances/{instance_id}", {"instance": {"access": {"is_public": True}}})
    (run,) = stand.temporal.of("InstanceAccess")
    stand.temporal.finish(run, ApplicationError("none left", type="QuotaExceeded"))
    view = stand.alpha.get(f"/instances/{instance_id}").json["instance"]
    assert (view["status"], view["access"]) == ("ACTIVE", {"is_public": False, "allowed_cidrs": ["10.0.0.0/8"]})
    assert "fault" not in view


@pytest.mark.parametrize("change", [{}, {"name": "new", "access": {}}, {"access": {"is_public": "perhaps"}}, {"access": None}])
def test_a_change_of_something_else_is_refused(stand: Stand, neighbours: Neighbours, change: dict[str, Any]) -> None:
    answer = stand.alpha.put(f"/instances/{on_a_network(stand)}", {"instance": change})
    assert answer.status_code == 400
    assert stand.temporal.of("InstanceAccess") == []


def test_without_a_network_there_is_no_access_to_change(stand: Stand) -> None:
    answer = stand.alpha.put(f"/instances/{stand.ready()}", {"instance": {"access": {"is_public": True}}})
    assert answer.status_code == 400
    assert "no network of yours" in fault(answer)[1]
    building = stand.alpha.create().json["instance"]["id"]
    assert stand.alpha.put(f"/instances/{building}", {"instance": {"access": {}}}).status_code == 400
