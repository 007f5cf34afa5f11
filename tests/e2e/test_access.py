"""A database on a tenant's own network: who reaches it, from where, and that nothing is left of it.

The tenants are Keystone's, the filters and translations the testbed's (testbed/README.md).
"""

import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from models import Instance
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.engines import usable
from tests.support.local_guest import eventually
from tests.support.neighbour import neighbour
from tests.support.testbed import CHANNEL_PORT, Bed

pytestmark = [pytest.mark.openstack, pytest.mark.engines, pytest.mark.timeout(900)]

PASSWORD = "Gr8-secret"
LET_IN, KEPT_OUT, OUTSIDE = "10.99.10.240", "10.99.10.241", "198.51.100.1"
"""Two of alice's own machines, and where this host uses floating IPs from."""
WITHIN = 400.0


@pytest.fixture(scope="module")
def plane(bed: Bed) -> Iterator[ControlPlane]:
    with (
        tempfile.TemporaryDirectory(prefix="co-", dir="/tmp") as directory,
        control_plane(Path(directory), bed, boot_from_volume=True) as plane,
    ):
        yield plane


@dataclass(frozen=True)
class Tenant:
    """One of Keystone's users, with a token of the real thing."""

    api: str
    who: Any

    def ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        url = f"{self.api}/v1.0/{self.who.current_project_id}{path}"
        return requests.request(method, url, json=body, headers={"X-Auth-Token": self.who.auth_token}, timeout=60)

    def create(self, **fields: Any) -> requests.Response:
        return self.ask("POST", "/instances", {"instance": {"name": "db", "volume": {"size": 1}, **fields}})

    def shown(self, instance_id: str) -> dict[str, Any]:
        """One in ERROR fails the test with its fault."""
        view: dict[str, Any] = self.ask("GET", f"/instances/{instance_id}").json()["instance"]
        assert view["status"] != "ERROR", view
        return view


@pytest.fixture
def alice(bed: Bed, plane: ControlPlane) -> Iterator[Tenant]:
    with bed.tenant("alice") as who:
        yield Tenant(plane.api, who)


def listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


def test_a_public_database_on_a_network_of_the_tenant(bed: Bed, plane: ControlPlane, alice: Tenant) -> None:
    before = bed.held()
    network = alice.who.network.find_network("private", ignore_missing=False)
    answer = alice.create(
        flavorRef=bed.flavor_id,
        datastore={"type": "mariadb"},
        databases=[{"name": "app"}],
        users=[{"name": "ada", "password": PASSWORD, "databases": [{"name": "app"}]}],
        nics=[{"network_id": network.id}],
        access={"is_public": True, "allowed_cidrs": [f"{LET_IN}/32", f"{OUTSIDE}/32"]},
        locality="affinity",
    )
    assert answer.status_code == 200, answer.text
    instance_id = answer.json()["instance"]["id"]
    assert eventually(lambda: alice.shown(instance_id)["status"] == "ACTIVE", WITHIN)
    view = alice.shown(instance_id)
    private, public = view["addresses"]
    assert (private["type"], private["network"], public["type"]) == ("private", network.id, "public")
    assert view["ip"] == [private["address"], public["address"]]

    with plane.database.read() as s:
        management = str(s.get_one(Instance, instance_id).management_address)
    assert listens(management, CHANNEL_PORT)
    assert not listens(management, 3306), "the engine answers on the management network"
    with neighbour(alice.who, network, LET_IN) as let_in, neighbour(alice.who, network, KEPT_OUT) as kept_out:
        assert let_in.uses("mariadb", private["address"], "ada", PASSWORD)
        assert not let_in.connects(private["address"], CHANNEL_PORT)
        assert not let_in.connects(management, CHANNEL_PORT)
        assert not kept_out.connects(private["address"], 3306)
        assert usable("mariadb", public["address"], "ada", PASSWORD), "the floating IP leads nowhere"

        others = {"is_public": False, "allowed_cidrs": [f"{KEPT_OUT}/32"]}
        assert alice.ask("PUT", f"/instances/{instance_id}", {"instance": {"access": others}}).status_code == 202
        assert eventually(lambda: alice.shown(instance_id)["access"] == others, WITHIN)
        assert alice.shown(instance_id)["addresses"] == [private]
        assert eventually(lambda: kept_out.uses("mariadb", private["address"], "ada", PASSWORD), WITHIN)
        assert not let_in.connects(private["address"], 3306)
        assert not listens(public["address"], 3306)

    held = [thing for thing in bed.held() if thing not in before]
    assert sorted(thing.rpartition("-")[2] for thing in held if thing.startswith(("port", "volume"))) == [
        "port",
        "port",
        "root",
        "volume",
    ]
    assert len([thing for thing in held if thing.startswith(("group", "server group"))]) == 2
    assert alice.ask("DELETE", f"/instances/{instance_id}").status_code == 202
    assert eventually(lambda: alice.ask("GET", f"/instances/{instance_id}").status_code == 404, WITHIN)
    assert bed.held() == before


def test_a_network_of_another_project_is_refused(bed: Bed, plane: ControlPlane, alice: Tenant) -> None:
    with bed.tenant("bob") as bob:
        theirs = bob.network.find_network("private", ignore_missing=False)
    answer = alice.create(flavorRef=bed.flavor_id, datastore={"type": "redis"}, nics=[{"network_id": theirs.id}])
    assert answer.status_code == 400
    assert "cannot be found" in answer.json()["badRequest"]["message"]
    assert alice.ask("GET", "/instances").json()["instances"] == []


def test_an_address_that_is_taken_ends_the_create_with_the_reason(bed: Bed, plane: ControlPlane, alice: Tenant) -> None:
    before = bed.held()
    network = alice.who.network.find_network("private", ignore_missing=False)
    taken = alice.who.network.create_port(network_id=network.id)
    (place,) = taken.fixed_ips
    try:
        nic = {"subnet_id": place["subnet_id"], "ip_address": place["ip_address"]}
        answer = alice.create(flavorRef=bed.flavor_id, datastore={"type": "redis"}, nics=[nic])
        instance_id = answer.json()["instance"]["id"]
        path = f"/instances/{instance_id}"
        assert eventually(lambda: alice.ask("GET", path).json()["instance"]["status"] == "ERROR", WITHIN)
        fault = alice.ask("GET", path).json()["instance"]["fault"]["message"]
        assert place["ip_address"] in fault
        assert bed.held() == before
        alice.ask("DELETE", path)
        assert eventually(lambda: alice.ask("GET", path).status_code == 404, WITHIN)
    finally:
        alice.who.network.delete_port(taken)
