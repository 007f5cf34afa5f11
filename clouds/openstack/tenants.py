"""What a tenant may use of Neutron, asked with the tenant's own token.

The service user may make ports on anybody's network, and choose any address there.  So it is decided here, before it does so, whether
the tenant might.
"""

import ipaddress

from clouds.openstack.access import router_legs
from clouds.openstack.calls import Json, Service, Services
from clouds.openstack.settings import Settings
from clouds.ports import CloudError, Nic

HIDDEN = (400, 403, 404)


class TenantNetworks:
    def __init__(self, services: Services, settings: Settings) -> None:
        self._neutron, self._settings = services.networks, settings

    def nic(self, token: str, project_id: str, wanted: Nic, *, public: bool) -> Nic:
        mine = self._neutron.as_bearer_of(token)
        subnet = _shown(mine, "subnet", wanted.subnet_id) if wanted.subnet_id else None
        network_id = wanted.network_id or str(subnet and subnet["network_id"])
        network = _shown(mine, "network", network_id)
        own = network["project_id"] == project_id
        if not own and not network["shared"]:
            # It shows itself because it leads outside, or because the token is an administrator's.
            raise _cannot_be_found("network", network_id)
        if subnet:
            _check_subnet(subnet, network, wanted, own)
        self._check_addresses(network, [subnet] if subnet else mine.get("/subnets", network_id=network_id)["subnets"])
        if public and own:
            _check_way_out(mine, network, subnet)
        return Nic(network_id, wanted.subnet_id, wanted.ip_address)

    def _check_addresses(self, network: Json, subnets: list[Json]) -> None:
        """A server that is on two networks must be able to tell them apart."""
        four = [subnet for subnet in subnets if subnet["ip_version"] == 4]
        if not four:
            raise CloudError(f"Network {network['id']} has no subnet of IPv4.", 400)
        for other in self._management_subnets():
            if other["network_id"] == network["id"]:
                raise CloudError(f"Network {network['id']} is the one that databases are managed on: name another.", 400)
            for subnet in four:
                if ipaddress.ip_network(subnet["cidr"]).overlaps(ipaddress.ip_network(other["cidr"])):
                    taken = f"overlaps with {other['cidr']}, which databases are managed on"
                    raise CloudError(f"Subnet {subnet['id']}, {subnet['cidr']}, {taken}: name another.", 400)

    def _management_subnets(self) -> list[Json]:
        """Of IPv4.  The network is configured by name or id."""
        for filters in ({"name": self._settings.management_network}, {"id": self._settings.management_network}):
            if found := self._neutron.get("/networks", **filters)["networks"]:
                subnets: list[Json] = self._neutron.get("/subnets", network_id=found[0]["id"], ip_version=4)["subnets"]
                return subnets
        return []


def _shown(mine: Service, kind: str, id: str) -> Json:
    try:
        found: Json = mine.get(f"/{kind}s/{id}")[kind]
    except CloudError as error:
        if error.status in HIDDEN:
            raise _cannot_be_found(kind, id) from error
        raise
    return found


def _cannot_be_found(kind: str, id: str) -> CloudError:
    return CloudError(f"{kind.capitalize()} '{id}' cannot be found.", 400)


def _check_subnet(subnet: Json, network: Json, wanted: Nic, own: bool) -> None:
    if subnet["network_id"] != network["id"]:
        raise CloudError(f"Subnet {subnet['id']} is not of network {network['id']}.", 400)
    if subnet["ip_version"] != 4:
        raise CloudError(f"Subnet {subnet['id']} is of IPv6: name one of IPv4.", 400)
    if wanted.ip_address is None:
        return
    if not own:
        raise CloudError("Only the owner of a network chooses addresses on it: leave `ip_address` out.", 400)
    if ipaddress.ip_address(wanted.ip_address) not in ipaddress.ip_network(subnet["cidr"]):
        raise CloudError(f"{wanted.ip_address} is not in subnet {subnet['id']}, which is {subnet['cidr']}.", 400)


def _check_way_out(mine: Service, network: Json, subnet: Json | None) -> None:
    """As far as the owner sees it: of a router that is somebody else's the worker will know."""
    legs = router_legs(mine.get, network["id"], {subnet["id"]} if subnet else set())
    if not any(_may_lead_out(mine, leg["device_id"]) for leg in legs):
        why = f"Network {network['id']} has no router to an external network, so nothing on it can be public"
        raise CloudError(f"{why}: give it one, or leave `access.is_public` out.", 400)


def _may_lead_out(mine: Service, router_id: str) -> bool:
    try:
        return bool(mine.get(f"/routers/{router_id}")["router"]["external_gateway_info"])
    except CloudError as error:
        if error.status in HIDDEN:
            return True
        raise
