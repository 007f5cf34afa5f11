"""What Coffer needs from a cloud, as small protocols.  Every driver passes tests/contract/clouds.

Names carry the promise: `create_*` finds by key or creates, `delete_*` accepts absence, `show_*` gives None for what is not there,
`*_of` lists everything that carries an owner's tag, and `servers`, `volumes` and `ports` all that was made through here.  A key is
unique within a project of the cloud and chosen by the caller before the call, so that a repeated call finds what an earlier one made.
No call waits for a status: the caller looks again.  What meets another call's half-done work may raise CloudError 409: it is tried
again.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from clouds.changes import Changes

if TYPE_CHECKING:
    from clouds.objects import ObjectStore


class CloudError(Exception):
    """Raised by every driver in place of its library's own exceptions.

    `status` is the HTTP status the cloud gave (or the nearest): 400, 403 (a quota) and 413 are final, everything else may pass.
    `retry_after`: seconds the cloud asks to be left alone.  The message is for operators and holds no secret.
    """

    def __init__(self, message: str, status: int = 500, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class ServerStatus(enum.StrEnum):
    BUILD = "BUILD"
    ACTIVE = "ACTIVE"
    REBOOT = "REBOOT"
    SHUTOFF = "SHUTOFF"
    ERROR = "ERROR"


class VolumeStatus(enum.StrEnum):
    CREATING = "creating"
    AVAILABLE = "available"
    IN_USE = "in-use"
    ERROR = "error"


@dataclass(frozen=True)
class Flavor:
    """Size of a server: RAM in MiB, root disk in GiB."""

    id: str
    name: str
    ram_mb: int
    vcpus: int
    disk_gb: int


@dataclass(frozen=True)
class GuestBoot:
    """What a new server must know to become a guest.  Holds secrets: never goes into a payload, a log or repr()."""

    instance_id: str
    manager: str
    version: str
    ram_mb: int
    authorized_key: str = field(repr=False)
    """OpenSSH public key line of the control plane, to be installed restricted to the agent's channel."""
    host_key: str = field(repr=False)
    """OpenSSH private key (PEM) that the server's sshd presents."""
    telemetry: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)
    """`{"post_to", "period"}` as docs/developer/telemetry.md has it, a signature in it; None: the guest waits to be told."""


@dataclass(frozen=True)
class WantPort:
    """Without a network: on the management network.  On a tenant's, `group_key` names the security group that guards it."""

    key: str
    owner: str
    network_id: str | None = None
    subnet_id: str | None = None
    ip_address: str | None = None
    group_key: str | None = None


@dataclass(frozen=True)
class Port:
    id: str
    key: str
    owner: str
    address: str
    network_id: str | None = None


@dataclass(frozen=True)
class WantGroup:
    """A security group that lets in TCP to `port` from `cidrs`, and nothing else."""

    key: str
    owner: str
    port: int
    cidrs: tuple[str, ...]


@dataclass(frozen=True)
class SecurityGroup:
    id: str
    key: str
    owner: str


@dataclass(frozen=True)
class FloatingIp:
    """`port_id` is None while it leads nowhere."""

    id: str
    owner: str
    address: str
    port_id: str | None


@dataclass(frozen=True)
class ServerGroup:
    """Servers whose places depend on one another: "affinity", "anti-affinity", or the soft kind of either."""

    id: str
    key: str
    owner: str
    policy: str


class RecordStatus(enum.StrEnum):
    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    ERROR = "ERROR"


@dataclass(frozen=True)
class WantRecord:
    """A name in DNS for an address of IPv4 or IPv6.  Its zone is what follows the first dot; there is none at the end."""

    key: str
    owner: str
    name: str
    address: str


@dataclass(frozen=True)
class Record:
    """ACTIVE: those who are asked for the name know it."""

    id: str
    key: str
    owner: str
    name: str
    address: str
    status: RecordStatus


@dataclass(frozen=True)
class WantVolume:
    """`image_id`: what is to be on it; None: nothing.  Zone and type None: what the cloud is configured for."""

    key: str
    owner: str
    size_gb: int
    volume_type: str | None = None
    availability_zone: str | None = None
    image_id: str | None = None


@dataclass(frozen=True)
class Volume:
    id: str
    key: str
    owner: str
    size_gb: int
    status: VolumeStatus


@dataclass(frozen=True)
class WantServer:
    """`*_key` name things that exist already.

    `user_port_key`: where the engine answers, if that is not the management port.  `root_volume_key`: in place of a root disk of the
    host's.  `group_key`: a server group.
    """

    key: str
    owner: str
    name: str
    flavor: Flavor
    image_id: str
    port_key: str
    volume_key: str
    boot: GuestBoot = field(repr=False)
    user_port_key: str | None = None
    root_volume_key: str | None = None
    group_key: str | None = None
    availability_zone: str | None = None


@dataclass(frozen=True)
class Server:
    """`address`, `ssh_port`: where the guest channel answers.  `fault`: why status is ERROR."""

    id: str
    key: str
    owner: str
    status: ServerStatus
    address: str
    ssh_port: int = 22
    fault: str = ""


@dataclass(frozen=True)
class WrongRule:
    """What lets in more, or less, than it should.  `wrong` says so after the name of the thing; `mendable`: this driver may set it right."""

    thing: str
    """security rule; security group: its rules; port: the groups that it has."""
    key: str
    id: str
    """Empty for a rule that is missing."""
    owner: str
    """Empty for what all share."""
    wrong: str
    mendable: bool


class Networks(Protocol):
    def create_port(self, want: WantPort) -> Port: ...
    def show_port(self, key: str) -> Port | None: ...
    def ports_of(self, owner: str) -> list[Port]: ...
    def ports(self) -> list[Port]: ...
    def delete_port(self, key: str) -> None:
        """With the floating IP that leads to it."""
        ...


class Access(Protocol):
    """Who reaches a port on a tenant's network.  A cloud without such networks refuses to make any of it with CloudError 400."""

    def create_group(self, want: WantGroup) -> SecurityGroup:
        """Its rules are as wanted afterwards, whatever they were."""
        ...

    def groups_of(self, owner: str) -> list[SecurityGroup]: ...
    def all_groups(self) -> list[SecurityGroup]: ...
    def delete_group(self, key: str) -> None:
        """Raises CloudError 409 while a port has it."""
        ...

    def create_floating_ip(self, port_key: str, owner: str) -> FloatingIp:
        """One for each port, from the external network that the port's network is routed to.  Raises CloudError 400 where there is none."""
        ...

    def floating_ips_of(self, owner: str) -> list[FloatingIp]: ...
    def all_floating_ips(self) -> list[FloatingIp]: ...
    def delete_floating_ips(self, owner: str) -> None: ...


class Names(Protocol):
    """Records in DNS."""

    def create_record(self, want: WantRecord) -> Record:
        """It leads to that address afterwards, wherever it led.  Raises CloudError 400 where there is no such zone, and for a name that is
        somebody else's."""
        ...

    def show_record(self, key: str) -> Record | None: ...
    def records_of(self, owner: str) -> list[Record]: ...
    def records(self) -> list[Record]: ...
    def delete_record(self, key: str) -> None:
        """Asks for the removal; the record is gone when show_record says so, and servers that still know the name forget it soon."""
        ...


class ServerGroups(Protocol):
    """A cloud that has one host refuses to make one with CloudError 400."""

    def create_server_group(self, key: str, owner: str, policy: str) -> ServerGroup: ...
    def server_groups_of(self, owner: str) -> list[ServerGroup]: ...
    def all_server_groups(self) -> list[ServerGroup]: ...
    def delete_server_group(self, key: str) -> None: ...


class Volumes(Protocol):
    def create_volume(self, want: WantVolume) -> Volume: ...
    def show_volume(self, key: str) -> Volume | None: ...
    def volumes_of(self, owner: str) -> list[Volume]: ...
    def volumes(self) -> list[Volume]: ...
    def delete_volume(self, key: str) -> None:
        """Raises CloudError 409 while the volume is in use or being made."""
        ...

    def keep_one(self, key: str) -> None:
        """Of several with the key, such as a call that was given up has made in the end, one stays: rather one in use.

        Raises CloudError 409 while another is being made.
        """
        ...


class Compute(Protocol):
    def create_server(self, want: WantServer) -> Server: ...
    def show_server(self, key: str) -> Server | None: ...
    def servers_of(self, owner: str) -> list[Server]: ...
    def servers(self) -> list[Server]: ...
    def reboot_server(self, key: str) -> None:
        """Power off and on again; what was enabled in the guest comes back by itself."""
        ...

    def attach_volume(self, key: str, volume_key: str) -> None:
        """Give the server back a volume that was taken from it; the server sees it after a reboot.  One that it has is left alone."""
        ...

    def delete_server(self, key: str) -> None:
        """Asks for the removal; the server is gone when show_server says so."""
        ...


class Rules(Protocol):
    """What may reach servers, on the management network and on those of tenants."""

    def wrong(self, ours: Callable[[Port], bool], wanted: Sequence[WantGroup] = ()) -> list[WrongRule]:
        """`ours`: whether a port is this deployment's; what others share is not mendable.  `wanted`: groups as they should be."""
        ...

    def mend(self, rule: WrongRule, wanted: Sequence[WantGroup] = ()) -> None:
        """Set right what `wrong` has just found.  May be repeated."""
        ...


class Unfiltered:
    """Rules of a cloud that has none."""

    def wrong(self, ours: Callable[[Port], bool], wanted: Sequence[WantGroup] = ()) -> list[WrongRule]:
        return []

    def mend(self, rule: WrongRule, wanted: Sequence[WantGroup] = ()) -> None:
        raise CloudError(f"Nothing of {rule.key} can be set here.", 400)


@dataclass(frozen=True)
class Nic:
    """Where a tenant wants to reach a database: a network, a subnet of it or both, and an address in the subnet."""

    network_id: str | None = None
    subnet_id: str | None = None
    ip_address: str | None = None


class Tenants(Protocol):
    """What a tenant may use of the cloud, seen with the tenant's own token: the service user sees more than that."""

    def nic(self, token: str, project_id: str, wanted: Nic, *, public: bool) -> Nic:
        """With the network's id and, where it matters, the subnet's.  Raises CloudError 400 with what is wrong with it."""
        ...


@dataclass(frozen=True)
class Cloud:
    """One driver's services, as the worker hands them to activities."""

    networks: Networks
    volumes: Volumes
    compute: Compute
    access: Access
    groups: ServerGroups
    objects: "ObjectStore"
    names: Names
    guest_login: str = "root"
    """The account on its servers that may open the guest channel, and nothing else."""
    rules: Rules = field(default_factory=Unfiltered)
    server_changes: Changes = field(default_factory=Changes, compare=False)
    """What is told of servers, by their keys."""
    volume_changes: Changes = field(default_factory=Changes, compare=False)
