"""What Coffer needs from a cloud, as small protocols.  Every driver passes tests/contract/clouds.

Names carry the promise: `create_*` finds by key or creates, `delete_*` accepts absence, `show_*` gives None for what is not there,
`*_of` lists everything that carries an owner's tag, and `servers`, `volumes` and `ports` all that was made through here.  A key is
unique within a project of the cloud and chosen by the caller before the call, so that a repeated call finds what an earlier one made.
No call waits for a status: the caller looks again.  What meets another call's half-done work may raise CloudError 409: it is tried
again.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from clouds.changes import Changes


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
    key: str
    owner: str
    network_id: str | None = None
    subnet_id: str | None = None
    ip_address: str | None = None


@dataclass(frozen=True)
class Port:
    id: str
    key: str
    owner: str
    address: str
    network_id: str | None = None


@dataclass(frozen=True)
class WantVolume:
    key: str
    owner: str
    size_gb: int
    volume_type: str | None = None


@dataclass(frozen=True)
class Volume:
    id: str
    key: str
    owner: str
    size_gb: int
    status: VolumeStatus


@dataclass(frozen=True)
class WantServer:
    """`port_key` and `volume_key` name things that exist already."""

    key: str
    owner: str
    name: str
    flavor: Flavor
    image_id: str
    port_key: str
    volume_key: str
    boot: GuestBoot = field(repr=False)


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


class Networks(Protocol):
    def create_port(self, want: WantPort) -> Port: ...
    def show_port(self, key: str) -> Port | None: ...
    def ports_of(self, owner: str) -> list[Port]: ...
    def ports(self) -> list[Port]: ...
    def delete_port(self, key: str) -> None: ...


class Volumes(Protocol):
    def create_volume(self, want: WantVolume) -> Volume: ...
    def show_volume(self, key: str) -> Volume | None: ...
    def volumes_of(self, owner: str) -> list[Volume]: ...
    def volumes(self) -> list[Volume]: ...
    def delete_volume(self, key: str) -> None:
        """Raises CloudError 409 while the volume is in use or being made."""
        ...


class Compute(Protocol):
    def create_server(self, want: WantServer) -> Server: ...
    def show_server(self, key: str) -> Server | None: ...
    def servers_of(self, owner: str) -> list[Server]: ...
    def servers(self) -> list[Server]: ...
    def reboot_server(self, key: str) -> None:
        """Power off and on again; what was enabled in the guest comes back by itself."""
        ...

    def delete_server(self, key: str) -> None:
        """Asks for the removal; the server is gone when show_server says so."""
        ...


@dataclass(frozen=True)
class Cloud:
    """One driver's services, as the worker hands them to activities."""

    networks: Networks
    volumes: Volumes
    compute: Compute
    guest_login: str = "root"
    """The account on its servers that may open the guest channel, and nothing else."""
    server_changes: Changes = field(default_factory=Changes, compare=False)
    """What is told of servers, by their keys."""
    volume_changes: Changes = field(default_factory=Changes, compare=False)
