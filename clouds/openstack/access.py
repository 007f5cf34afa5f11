"""Security groups and floating IPs of tenants' ports, in the service project.  Description = owner; a group's name = its key.

Neutron has no two floating IPs for a port: of two calls at once, one is refused and finds the other's.  One of the owner's that leads
nowhere, because somebody took it from its port, leads there again.  Security groups may be two by one name: every create looks again
afterwards, and all agree on the one that stays.
"""

import ipaddress
from collections.abc import Callable, Set

from clouds.openstack.calls import Json, Refused, Services
from clouds.openstack.marks import OWNED, final
from clouds.ports import CloudError, FloatingIp, SecurityGroup, WantGroup

GROUPS, RULES, FLOATING = "/security-groups", "/security-group-rules", "/floatingips"


class NeutronAccess:
    def __init__(self, services: Services) -> None:
        self._services, self._neutron = services, services.networks

    # -- security groups

    def create_group(self, want: WantGroup) -> SecurityGroup:
        if not (found := self._groups(name=want.key)):
            described = {"name": want.key, "description": OWNED + want.owner}
            self._made(GROUPS, {"security_group": described})
            found = self._groups(name=want.key)
        if not found:
            raise CloudError(f"Security group {want.key} is gone as soon as it was made.", 409)
        kept, *others = sorted(found, key=_rank)
        for other in others:
            self._neutron.delete(f"{GROUPS}/{other['id']}")
        self._set_rules(kept, want)
        return _group(kept)

    def groups_of(self, owner: str) -> list[SecurityGroup]:
        return [_group(raw) for raw in self._groups(description=OWNED + owner)]

    def all_groups(self) -> list[SecurityGroup]:
        return [_group(raw) for raw in self.raw_groups()]

    def raw_groups(self) -> list[Json]:
        """All that were made here, as Neutron tells of them."""
        return [raw for raw in self._groups() if raw["description"].startswith(OWNED)]

    def group_id(self, key: str) -> str:
        """Raises CloudError 400: a port needs it, and it is not there."""
        if not (found := self._groups(name=key)):
            raise CloudError(f"There is no security group {key}.", 400)
        return str(min(found, key=_rank)["id"])

    def delete_group(self, key: str) -> None:
        for raw in self._groups(name=key):
            self._neutron.delete(f"{GROUPS}/{raw['id']}")

    def _set_rules(self, group: Json, want: WantGroup) -> None:
        """New ones first: who is let in before and after is let in all the time."""
        there = [rule for rule in group["security_group_rules"] if rule["direction"] == "ingress"]
        wanted = {cidr: inward_rule(group["id"], want.port, cidr) for cidr in want.cidrs}
        kept = {cidr: rule for cidr, asked in wanted.items() for rule in there if asked.items() <= rule.items()}
        for cidr in wanted.keys() - kept.keys():
            try:
                self._neutron.post(RULES, {"security_group_rule": wanted[cidr]})
            except Refused as error:
                if error.fault != "SecurityGroupRuleExists":
                    raise final(error) from error
        stays = {rule["id"] for rule in kept.values()}
        for rule in there:
            if rule["id"] not in stays:
                self._neutron.delete(f"{RULES}/{rule['id']}")

    def _groups(self, **filters: str) -> list[Json]:
        project = self._services.project_id()
        return list(self._neutron.pages(GROUPS, "security_groups", project_id=project, **filters))

    # -- floating IPs

    def create_floating_ip(self, port_key: str, owner: str) -> FloatingIp:
        port = self._port(port_key)
        if found := self._floating(port_id=port["id"]):
            return _floating_ip(found[0])
        if idle := [raw for raw in self._floating(description=OWNED + owner) if not raw["port_id"]]:
            return self._led(idle[0]["id"], port["id"])
        described = {"floating_network_id": self._outside(port), "port_id": port["id"], "description": OWNED + owner}
        try:
            return _floating_ip(self._neutron.post(FLOATING, {"floatingip": described})["floatingip"])
        except Refused as error:
            if error.status == 409 and (found := self._floating(port_id=port["id"])):
                return _floating_ip(found[0])
            raise final(error) from error

    def _led(self, id: str, port_id: str) -> FloatingIp:
        """To the port, where its tenant's address stays the same."""
        try:
            return _floating_ip(self._neutron.put(f"{FLOATING}/{id}", {"floatingip": {"port_id": port_id}})["floatingip"])
        except Refused as error:
            raise final(error) from error

    def floating_ips_of(self, owner: str) -> list[FloatingIp]:
        return [_floating_ip(raw) for raw in self._floating(description=OWNED + owner)]

    def all_floating_ips(self) -> list[FloatingIp]:
        return [_floating_ip(raw) for raw in self._floating() if raw["description"].startswith(OWNED)]

    def delete_floating_ips(self, owner: str) -> None:
        for raw in self._floating(description=OWNED + owner):
            self._neutron.delete(f"{FLOATING}/{raw['id']}")

    def delete_floating_ips_to(self, port_id: str) -> None:
        for raw in self._floating(port_id=port_id):
            self._neutron.delete(f"{FLOATING}/{raw['id']}")

    def _floating(self, **filters: str) -> list[Json]:
        project = self._services.project_id()
        return list(self._neutron.pages(FLOATING, "floatingips", project_id=project, **filters))

    def _port(self, key: str) -> Json:
        project = self._services.project_id()
        if not (found := list(self._neutron.pages("/ports", "ports", project_id=project, name=key))):
            raise CloudError(f"There is no port {key} for a floating IP to lead to.", 400)
        return found[0]

    def _outside(self, port: Json) -> str:
        """The external network behind the router that the port's subnet is on."""
        for leg in router_legs(self._neutron.get, port["network_id"], {fixed["subnet_id"] for fixed in port["fixed_ips"]}):
            router = self._neutron.get(f"/routers/{leg['device_id']}")["router"]
            if outside := (router["external_gateway_info"] or {}).get("network_id"):
                return str(outside)
        raise CloudError(f"Network {port['network_id']} has no router with a way out: no floating IP can lead into it.", 400)

    def _made(self, path: str, body: Json) -> None:
        try:
            self._neutron.post(path, body)
        except Refused as error:
            raise final(error) from error


ROUTER_LEGS = ("network:router_interface", "network:ha_router_replicated_interface", "network:router_interface_distributed")


def router_legs(get: Callable[..., Json], network_id: str, subnets: Set[str]) -> list[Json]:
    """Ports by which routers are on one of the subnets, or on any where none is named."""
    ports = get("/ports", network_id=network_id, device_owner=list(ROUTER_LEGS))["ports"]
    return [port for port in ports if not subnets or subnets & {fixed["subnet_id"] for fixed in port["fixed_ips"]}]


def inward_rule(group_id: str, port: int, cidr: str) -> Json:
    """Lets TCP to the port in from the network."""
    span = {"protocol": "tcp", "port_range_min": port, "port_range_max": port}
    family = f"IPv{ipaddress.ip_network(cidr).version}"
    return {"security_group_id": group_id, "direction": "ingress", "ethertype": family, **span, "remote_ip_prefix": cidr}


def _rank(raw: Json) -> tuple[str, str]:
    return raw["created_at"], raw["id"]


def _group(raw: Json) -> SecurityGroup:
    return SecurityGroup(raw["id"], raw["name"], raw["description"].removeprefix(OWNED))


def _floating_ip(raw: Json) -> FloatingIp:
    return FloatingIp(raw["id"], raw["description"].removeprefix(OWNED), raw["floating_ip_address"], raw["port_id"])
