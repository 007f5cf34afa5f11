"""Ports in Neutron.  Name = key, description = owner, and an address on the link made from the key.

Neutron lets one MAC address be on a network once: of two calls that make the same port at once, one is refused and finds the other's.
"""

import hashlib
import ipaddress
from functools import cached_property

from clouds.openstack.access import NeutronAccess
from clouds.openstack.calls import Json, Refused, Services
from clouds.openstack.marks import OWNED, final
from clouds.openstack.settings import Settings
from clouds.ports import CloudError, Port, WantPort


class Ports:
    def __init__(self, services: Services, settings: Settings, access: NeutronAccess) -> None:
        self._services, self._settings, self._access = services, settings, access

    def create_port(self, want: WantPort) -> Port:
        address = _checked(want.ip_address)
        if found := self.find(want.key):
            return _port(found[0])
        body = self._described(want, address)
        try:
            return _port(self._services.networks.post("/ports", {"port": body})["port"])
        except Refused as error:
            if error.status == 409 and (found := self.find(want.key)):
                return _port(found[0])
            raise final(error, address_chosen=address is not None) from error

    def show_port(self, key: str) -> Port | None:
        found = self.find(key)
        return _port(found[0]) if found else None

    def ports_of(self, owner: str) -> list[Port]:
        return [_port(raw) for raw in self._list(description=OWNED + owner)]

    def ports(self) -> list[Port]:
        return [_port(raw) for raw in self._list() if raw["description"].startswith(OWNED)]

    def delete_port(self, key: str) -> None:
        """Raises CloudError 409 while a server has it."""
        for raw in self.find(key):
            if raw["device_id"] and self._is_server(raw["device_id"]):
                raise CloudError(f"Port {key} is in use by server {raw['device_id']}.", 409)
            if raw["network_id"] != self._management_network:
                self._access.delete_floating_ips_to(raw["id"])  # Neutron would keep it, leading nowhere
            self._services.networks.delete(f"/ports/{raw['id']}")

    def find(self, key: str) -> list[Json]:
        return self._list(name=key)

    def _list(self, **filters: str) -> list[Json]:
        # An administrator sees the ports of everybody, and a tenant may call his as he likes.
        project = self._services.project_id()
        return list(self._services.networks.pages("/ports", "ports", project_id=project, **filters))

    def _described(self, want: WantPort, address: str | None) -> Json:
        body: Json = {
            "name": want.key,
            "description": OWNED + want.owner,
            "network_id": want.network_id or self._management_network,
            "mac_address": _mac(want.key),
        }
        if want.network_id is None:
            body["security_groups"] = [self._management_group]
        elif want.group_key:
            body["security_groups"] = [self._access.group_id(want.group_key)]
        fixed = {"subnet_id": want.subnet_id, "ip_address": address}
        if place := {name: value for name, value in fixed.items() if value}:
            body["fixed_ips"] = [place]
        return body

    def _is_server(self, id: str) -> bool:
        try:
            self._services.compute.get(f"/servers/{id}")
        except CloudError as error:
            if error.status == 404:
                return False
            raise
        return True

    @cached_property
    def _management_network(self) -> str:
        return self._id_of("networks", self._settings.management_network)

    @cached_property
    def _management_group(self) -> str:
        return self._id_of("security-groups", self._settings.management_security_group, self._services.project_id())

    def _id_of(self, kind: str, name: str, project: str = "") -> str:
        """By name or id.  Raises CloudError 400: what is configured is not there."""
        mine = {"project_id": project} if project else {}
        for filters in ({"name": name}, {"id": name}):
            found = self._services.networks.get(f"/{kind}", **mine, **filters)[kind.replace("-", "_")]
            if len(found) > 1:
                raise CloudError(f"Neutron has {len(found)} {kind} called {name}: configure the id of one.", 400)
            if found:
                return str(found[0]["id"])
        raise CloudError(f"Neutron has none of {kind} called {name}, which is configured.", 400)


def _checked(address: str | None) -> str | None:
    if address is None:
        return None
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        raise CloudError(f"{address!r} is no IP address.", 400) from None


def _mac(key: str) -> str:
    """Unicast, locally administered, 46 bits of the key's digest."""
    digest = bytearray(hashlib.sha256(key.encode()).digest()[:6])
    digest[0] = digest[0] & 0xFC | 0x02
    return ":".join(f"{byte:02x}" for byte in digest)


def _port(raw: Json) -> Port:
    address = raw["fixed_ips"][0]["ip_address"] if raw["fixed_ips"] else ""
    return Port(raw["id"], raw["name"], raw["description"].removeprefix(OWNED), address, raw["network_id"])
