"""Ports: the addresses of servers, and who reaches them."""

from typing import Any

from temporalio import activity

from activities.errors import FINAL_STATUSES
from activities.waiting import cloud_calls
from clouds.ports import Access, CloudError, FloatingIp, Networks, Port, WantGroup, WantPort
from workflows.contracts import USER_PORT, Addresses, ChangeAccess, Operation, Want, WantUserPort
from workflows.contracts import Access as Wanted


class NeutronActivities:
    def __init__(self, networks: Networks, access: Access) -> None:
        self._networks, self._access = networks, access

    @activity.defn(name="neutron.create_port", no_thread_cancel_exception=True)
    def create_port(self, want: Want) -> str:
        """Find or create; gives its address."""
        with cloud_calls():
            return self._networks.create_port(WantPort(want.key, want.op.instance_id)).address

    @activity.defn(name="neutron.delete_port", no_thread_cancel_exception=True)
    def delete_port(self, want: Want) -> None:
        with cloud_calls():
            self._networks.delete_port(want.key)

    @activity.defn(name="neutron.create_security_group", no_thread_cancel_exception=True)
    def create_security_group(self, want: WantUserPort) -> None:
        """Find or create, with the rules that are wanted and no others."""
        network = want.network
        with cloud_calls():
            self._access.create_group(WantGroup(want.group_key, want.op.instance_id, network.port, tuple(network.allowed_cidrs)))

    @activity.defn(name="neutron.delete_security_group", no_thread_cancel_exception=True)
    def delete_security_group(self, want: WantUserPort) -> None:
        with cloud_calls():
            self._access.delete_group(want.group_key)

    @activity.defn(name="neutron.create_user_port", no_thread_cancel_exception=True)
    def create_user_port(self, want: WantUserPort) -> str:
        """Find or create; gives its address."""
        network = want.network
        wanted = WantPort(
            want.key,
            want.op.instance_id,
            network_id=network.network_id,
            subnet_id=network.subnet_id or None,
            ip_address=network.ip_address or None,
            group_key=want.group_key,
        )
        with cloud_calls():
            return self._networks.create_port(wanted).address

    @activity.defn(name="neutron.delete_user_port", no_thread_cancel_exception=True)
    def delete_user_port(self, want: WantUserPort) -> None:
        with cloud_calls():
            self._networks.delete_port(want.key)

    @activity.defn(name="neutron.create_floating_ip", no_thread_cancel_exception=True)
    def create_floating_ip(self, want: WantUserPort) -> str:
        """Find or create; gives the address."""
        with cloud_calls():
            return self._access.create_floating_ip(want.key, want.op.instance_id).address

    @activity.defn(name="neutron.delete_floating_ip", no_thread_cancel_exception=True)
    def delete_floating_ip(self, want: WantUserPort) -> None:
        with cloud_calls():
            self._access.delete_floating_ips(want.op.instance_id)

    @activity.defn(name="neutron.set_access", no_thread_cancel_exception=True)
    def set_access(self, change: ChangeAccess) -> Addresses:
        """All of it, or what was before and the cloud's refusal.  Gives the addresses that result."""
        owner = change.op.instance_id
        with cloud_calls():
            port = self._user_port(owner)
            if port is None:
                return Addresses(change.op, [])
            try:
                self._set(owner, port, change.port, change.wanted)
            except CloudError as error:
                if error.status in FINAL_STATUSES:
                    self._set(owner, port, change.port, change.before)
                raise
            return Addresses(change.op, _shown(port, self._access.floating_ips_of(owner)))

    def _set(self, owner: str, port: Port, engine_port: int, wanted: Wanted) -> None:
        """A floating IP goes last, when nothing can be refused any more: there is no way back to one."""
        for group in self._access.groups_of(owner):
            self._access.create_group(WantGroup(group.key, owner, engine_port, tuple(wanted.allowed_cidrs)))
        if wanted.is_public:
            self._access.create_floating_ip(port.key, owner)
        else:
            self._access.delete_floating_ips(owner)

    def _user_port(self, owner: str) -> Port | None:
        return next((port for port in self._networks.ports_of(owner) if port.key.endswith(USER_PORT)), None)

    @activity.defn(name="neutron.delete_ports_of", no_thread_cancel_exception=True)
    def delete_ports_of(self, op: Operation) -> None:
        """With what leads to them and what guards them."""
        owner = op.instance_id
        with cloud_calls():
            self._access.delete_floating_ips(owner)
            for port in self._networks.ports_of(owner):
                self._networks.delete_port(port.key)
            for group in self._access.groups_of(owner):
                self._access.delete_group(group.key)


def _shown(port: Port, floating: list[FloatingIp]) -> list[dict[str, Any]]:
    private = {"address": port.address, "type": "private", "network": port.network_id}
    return [private, *({"address": ip.address, "type": "public"} for ip in floating)]
