"""What one host cannot have: networks of tenants with guarded ports, and several places for servers."""

from clouds.ports import CloudError, FloatingIp, SecurityGroup, ServerGroup, WantGroup


class NoAccess:
    def create_group(self, want: WantGroup) -> SecurityGroup:
        raise CloudError("The local cloud has no security groups: whoever is on this host reaches its databases.", 400)

    def groups_of(self, owner: str) -> list[SecurityGroup]:
        return []

    def all_groups(self) -> list[SecurityGroup]:
        return []

    def delete_group(self, key: str) -> None:
        """There is none."""

    def create_floating_ip(self, port_key: str, owner: str) -> FloatingIp:
        raise CloudError("The local cloud has no floating IPs: its databases are reached from this host only.", 400)

    def floating_ips_of(self, owner: str) -> list[FloatingIp]:
        return []

    def all_floating_ips(self) -> list[FloatingIp]:
        return []

    def delete_floating_ips(self, owner: str) -> None:
        """There are none."""


class NoServerGroups:
    def create_server_group(self, key: str, owner: str, policy: str) -> ServerGroup:
        raise CloudError("The local cloud has one host: its servers can't be kept apart.", 400)

    def server_groups_of(self, owner: str) -> list[ServerGroup]:
        return []

    def all_server_groups(self) -> list[ServerGroup]:
        return []

    def delete_server_group(self, key: str) -> None:
        """There is none."""
