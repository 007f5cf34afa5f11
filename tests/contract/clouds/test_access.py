"""Ways into a tenant's network: security groups, ports and floating IPs on a real Neutron, seen by a tenant too; and a cloud that has none."""

import dataclasses
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from clouds.local import local_cloud
from clouds.openstack import Services, openstack_tenants
from clouds.openstack.tenants import TenantNetworks
from clouds.ports import Cloud, CloudError, Nic, Port, Tenants, WantGroup, WantPort
from tests.contract.clouds.conftest import patiently
from tests.support.local_guest import short_directory
from tests.support.testbed import CIDR, MANAGEMENT, Bed

pytestmark = [pytest.mark.timeout(300)]
openstack = pytest.mark.openstack


@dataclass(frozen=True)
class Way:
    """A tenant's network, and what one key makes on it."""

    cloud: Cloud
    bed: Bed
    alice: Any
    key: str

    @property
    def network(self) -> Any:
        return self.alice.network.find_network("private", ignore_missing=False)

    @property
    def subnet(self) -> Any:
        return self.alice.network.get_subnet(self.network.subnet_ids[0])

    def want_group(self, *cidrs: str, port: int = 3306) -> WantGroup:
        return WantGroup(f"{self.key}-access", self.key, port, cidrs or ("0.0.0.0/0",))

    def port(self, **changes: Any) -> Port:
        want = WantPort(f"{self.key}-user-port", self.key, network_id=self.network.id, group_key=f"{self.key}-access")
        return self.cloud.networks.create_port(dataclasses.replace(want, **changes))

    def rules(self) -> set[tuple[str, int, str]]:
        """Of what comes in: protocol, port, from where."""
        (group,) = self.bed.service.network.security_groups(name=f"{self.key}-access")
        return {
            (rule["protocol"], rule["port_range_min"], rule["remote_ip_prefix"])
            for rule in group.security_group_rules
            if rule["direction"] == "ingress"
        }

    def remove(self) -> None:
        self.cloud.access.delete_floating_ips(self.key)
        for port in self.cloud.networks.ports_of(self.key):
            self.cloud.networks.delete_port(port.key)
        for group in self.cloud.access.groups_of(self.key):
            self.cloud.access.delete_group(group.key)
        for servers in self.cloud.groups.server_groups_of(self.key):
            self.cloud.groups.delete_server_group(servers.key)


@pytest.fixture
def way(bed: Bed) -> Iterator[Way]:
    before = bed.held()
    with bed.tenant("alice") as alice:
        way = Way(bed.connect(), bed, alice, f"coffer-{uuid.uuid4()}")
        yield way
        way.remove()
    assert bed.held() == before


@openstack
def test_a_security_group_has_the_rules_that_are_wanted_and_no_others(way: Way) -> None:
    made = way.cloud.access.create_group(way.want_group("10.0.0.0/8", "192.0.2.1/32"))
    assert way.rules() == {("tcp", 3306, "10.0.0.0/8"), ("tcp", 3306, "192.0.2.1/32")}
    assert way.cloud.access.create_group(way.want_group("10.0.0.0/8", "203.0.113.0/24")) == made
    assert way.rules() == {("tcp", 3306, "10.0.0.0/8"), ("tcp", 3306, "203.0.113.0/24")}
    assert way.cloud.access.groups_of(way.key) == [made]


@openstack
def test_calls_that_race_leave_one_group(way: Way) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: patiently(lambda: way.cloud.access.create_group(way.want_group())), range(4)))
    assert way.cloud.access.groups_of(way.key) == [way.cloud.access.create_group(way.want_group())]
    assert way.rules() == {("tcp", 3306, "0.0.0.0/0")}
    assert {group.owner for group in made} == {way.key}


@openstack
def test_a_port_lies_on_the_tenants_network_behind_its_group(way: Way) -> None:
    group = way.cloud.access.create_group(way.want_group())
    made = way.port(subnet_id=way.subnet.id, ip_address="10.99.10.77")
    assert (made.address, made.network_id) == ("10.99.10.77", way.network.id)
    assert way.port(subnet_id=way.subnet.id, ip_address="10.99.10.77") == made == way.cloud.networks.show_port(made.key)
    raw = way.bed.service.network.get_port(made.id)
    assert (raw.security_group_ids, raw.project_id) == ([group.id], way.bed.service.current_project_id)
    with pytest.raises(CloudError) as refused:
        way.cloud.access.delete_group(group.key)
    assert refused.value.status == 409


@openstack
def test_an_address_in_use_is_refused_for_good(way: Way) -> None:
    way.cloud.access.create_group(way.want_group())
    taken = way.alice.network.create_port(network_id=way.network.id)
    address = taken.fixed_ips[0]["ip_address"]
    try:
        with pytest.raises(CloudError, match=address) as refused:
            way.port(subnet_id=way.subnet.id, ip_address=address)
        assert refused.value.status == 400
    finally:
        way.alice.network.delete_port(taken)


@openstack
def test_a_port_without_its_group_is_not_made(way: Way) -> None:
    with pytest.raises(CloudError, match="no security group") as refused:
        way.port()
    assert refused.value.status == 400


@openstack
def test_a_port_has_one_floating_ip(way: Way) -> None:
    way.cloud.access.create_group(way.want_group())
    port = way.port()
    with ThreadPoolExecutor(2) as threads:
        made = list(threads.map(lambda _: way.cloud.access.create_floating_ip(port.key, way.key), range(2)))
    assert made == [made[0]] * 2
    assert (made[0].port_id, made[0].address.rpartition(".")[0]) == (port.id, "198.51.100")
    assert way.cloud.access.floating_ips_of(way.key) == [made[0]]
    for _ in range(2):
        way.cloud.access.delete_floating_ips(way.key)
    assert way.cloud.access.floating_ips_of(way.key) == []


@openstack
def test_a_floating_ip_that_was_taken_from_its_port_leads_there_again(way: Way) -> None:
    way.cloud.access.create_group(way.want_group())
    port = way.port()
    made = way.cloud.access.create_floating_ip(port.key, way.key)
    way.bed.service.network.update_ip(made.id, port_id=None)
    assert way.cloud.access.floating_ips_of(way.key) == [dataclasses.replace(made, port_id=None)]
    assert way.cloud.access.create_floating_ip(port.key, way.key) == made
    assert way.cloud.access.floating_ips_of(way.key) == [made]


@openstack
def test_no_floating_ip_leads_into_a_network_without_a_way_out(way: Way) -> None:
    way.cloud.access.create_group(way.want_group())
    with NewNetwork(way.alice, "10.99.40.0/24") as closed:
        port = way.port(network_id=closed.id)
        with pytest.raises(CloudError, match="no router") as refused:
            way.cloud.access.create_floating_ip(port.key, way.key)
        assert refused.value.status == 400
        way.remove()


@openstack
def test_a_server_group_is_made_found_and_removed(way: Way) -> None:
    made = way.cloud.groups.create_server_group(f"{way.key}-group", way.key, "soft-anti-affinity")
    assert way.cloud.groups.create_server_group(f"{way.key}-group", way.key, "soft-anti-affinity") == made
    assert (made.key, made.policy) == (f"{way.key}-group", "soft-anti-affinity")
    assert way.cloud.groups.server_groups_of(way.key) == [made]
    for _ in range(2):
        way.cloud.groups.delete_server_group(made.key)
    assert way.cloud.groups.server_groups_of(way.key) == []


# -- what a tenant may use


@dataclass(frozen=True)
class Asking:
    tenants: Tenants
    who: Any

    def __call__(self, *, public: bool = False, **nic: Any) -> Nic:
        return self.tenants.nic(self.who.auth_token, self.who.current_project_id, Nic(**nic), public=public)

    def refused(self, words: str, **nic: Any) -> None:
        with pytest.raises(CloudError, match=words) as refused:
            self(**nic)
        assert refused.value.status == 400


@pytest.fixture
def ask(way: Way) -> Asking:
    return Asking(openstack_tenants(way.bed.settings()), way.alice)


@openstack
def test_the_service_user_vouches_for_a_tenant_whom_it_asks_for(way: Way) -> None:
    settings, sent = way.bed.settings(), []
    services = Services(settings, lambda method, url: None)
    services.web.hooks["response"].append(lambda answer, **_: sent.append(answer.request))
    Asking(TenantNetworks(services, settings), way.alice)(network_id=way.network.id)
    services.web.close()
    asked = [request.headers for request in sent if request.headers.get("X-Auth-Token") == way.alice.auth_token]
    assert asked
    for headers in asked:
        vouching = way.bed.operator.identity.get("/auth/tokens", headers={"X-Subject-Token": headers["X-Service-Token"]}).json()
        assert vouching["token"]["user"]["name"] == settings.credentials.username


class NewNetwork:
    """A network of this user with one subnet, for the length of a block."""

    def __init__(self, who: Any, cidr: str, **more: Any) -> None:
        self.who, self.cidr, self.more = who, cidr, more

    def __enter__(self) -> Any:
        self.made = self.who.network.create_network(name="contract", **self.more)
        self.who.network.create_subnet(network_id=self.made.id, ip_version=4, cidr=self.cidr, is_dhcp_enabled=False)
        return self.who.network.get_network(self.made.id)

    def __exit__(self, *_: object) -> None:
        self.who.network.delete_network(self.made)


@openstack
def test_a_tenant_uses_the_networks_of_the_project(way: Way, ask: Asking) -> None:
    net, sub = way.network.id, way.subnet.id
    assert ask(network_id=net) == Nic(net)
    assert ask(subnet_id=sub, public=True) == Nic(net, sub)
    assert ask(network_id=net, subnet_id=sub, ip_address="10.99.10.9") == Nic(net, sub, "10.99.10.9")


@openstack
def test_a_tenant_does_not_use_what_is_somebody_elses(way: Way, ask: Asking) -> None:
    with way.bed.tenant("bob") as bob:
        theirs = bob.network.find_network("private")
        ask.refused("Network .* cannot be found", network_id=theirs.id)
        ask.refused("Subnet .* cannot be found", subnet_id=theirs.subnet_ids[0])
    outside = way.bed.operator.network.find_network("public")
    ask.refused("cannot be found", network_id=outside.id)
    management = way.bed.service.network.find_network(MANAGEMENT)
    ask.refused("cannot be found", network_id=management.id)
    ask.refused("cannot be found", network_id=str(uuid.uuid4()))


@openstack
def test_an_administrator_uses_no_other_projects_networks_either(way: Way, ask: Asking) -> None:
    Asking(ask.tenants, way.bed.operator).refused("cannot be found", network_id=way.network.id)
    service = Asking(ask.tenants, way.bed.service)
    service.refused("managed on", network_id=way.bed.service.network.find_network(MANAGEMENT).id)


@openstack
def test_what_does_not_fit_together_is_refused(way: Way, ask: Asking) -> None:
    sub = way.subnet.id
    ask.refused("is not in subnet", subnet_id=sub, ip_address="10.99.11.9")
    with NewNetwork(way.alice, "10.99.41.0/24") as other:
        ask.refused("is not of network", network_id=other.id, subnet_id=sub)
        ask.refused("no router to an external network", network_id=other.id, public=True)
    with NewNetwork(way.alice, CIDR) as overlapping:
        ask.refused("overlaps", network_id=overlapping.id)


@openstack
def test_of_a_shared_network_nobody_else_chooses_addresses(way: Way, ask: Asking) -> None:
    with NewNetwork(way.bed.operator, "10.99.42.0/24", is_shared=True) as shared:
        (subnet,) = shared.subnet_ids
        assert ask(network_id=shared.id, subnet_id=subnet) == Nic(shared.id, subnet)
        ask.refused("Only the owner", subnet_id=subnet, ip_address="10.99.42.9")


@openstack
def test_a_token_of_nobody_is_no_answer_about_networks(way: Way, ask: Asking) -> None:
    with pytest.raises(CloudError) as refused:
        ask.tenants.nic("nobody", way.alice.current_project_id, Nic(way.network.id), public=False)
    assert refused.value.status == 401


# -- a cloud of one host


def test_one_host_has_none_of_it() -> None:
    with short_directory() as directory:
        cloud = local_cloud(directory)
        with pytest.raises(CloudError, match="no security groups"):
            cloud.access.create_group(WantGroup("k", "o", 3306, ("0.0.0.0/0",)))
        with pytest.raises(CloudError, match="no floating IPs"):
            cloud.access.create_floating_ip("k", "o")
        with pytest.raises(CloudError, match="one host"):
            cloud.groups.create_server_group("k", "o", "affinity")
        cloud.access.delete_group("k")
        cloud.access.delete_floating_ips("o")
        cloud.groups.delete_server_group("k")
        assert (cloud.access.groups_of("o"), cloud.access.floating_ips_of("o"), cloud.groups.server_groups_of("o")) == (
            [],
            [],
            [],
        )
