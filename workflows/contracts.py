"""Payloads of workflows and activities.  Ids and references only: they are kept in history.  New fields get a default; none is ever renamed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

USER_PORT, ROOT_VOLUME = "-user-port", "-root"
"""Ends of the keys of a port on a tenant's network and of a volume that is a root disk."""
SERVER, NAME = "-server", "-name"
"""And of a server, and of the DNS record that leads to it."""


@dataclass(frozen=True)
class Operation:
    """What every step needs to know about the request that started it."""

    id: str
    instance_id: str
    project_id: str
    generation: int = 0
    request_id: str = ""


@dataclass(frozen=True)
class Job:
    """The plainest input: of InstanceDelete and InstanceRestart, and of steps that need only the operation.

    `named`: there may be DNS records of the instance.
    """

    op: Operation
    named: bool = False


EVERYBODY = "0.0.0.0/0"


def let_in(access: Mapping[str, Any]) -> list[str]:
    """Networks that may connect, of an instance's `access`: none named means everybody who reaches it."""
    return list(access.get("allowed_cidrs") or [EVERYBODY])


@dataclass(frozen=True)
class UserNetwork:
    """Where a tenant reaches a database: an address on the tenant's network, a floating IP if it is public, the engine's port, and who
    is let in (IPv4 or IPv6 networks)."""

    network_id: str
    port: int
    allowed_cidrs: list[str]
    subnet_id: str = ""
    ip_address: str = ""
    is_public: bool = False


@dataclass(frozen=True)
class CreateInstance:
    """Input of InstanceCreate.  `prepare_ref`: the secret that holds the guest's prepare spec (databases, users, passwords).

    `network`: None where the database answers on the management network.  `root_gb`: size of a root volume; 0: a disk of the host's.
    `zone`: that it gets a name in; empty: it gets none.
    """

    op: Operation
    name: str
    flavor_id: str
    volume_gb: int
    datastore_version_id: str
    volume_type: str = ""
    prepare_ref: str = ""
    root_enabled: bool = False
    network: UserNetwork | None = None
    locality: str = ""
    availability_zone: str = ""
    root_gb: int = 0
    zone: str = ""

    @property
    def hostname(self) -> str:
        """Empty: it gets none."""
        return f"{self.op.instance_id}.{self.zone}" if self.zone else ""


@dataclass(frozen=True)
class Access:
    """Who reaches an instance on its tenant's network: through a floating IP or not, and from where."""

    is_public: bool
    allowed_cidrs: list[str]


@dataclass(frozen=True)
class ChangeAccess:
    """Input of InstanceAccess and of its step.  `port`: the engine's.  `before`: what a refusal goes back to.

    `hostname`, `name_key`: of the DNS record that leads to the instance; empty: none does.
    """

    op: Operation
    port: int
    wanted: Access
    before: Access
    hostname: str = ""
    name_key: str = ""


@dataclass(frozen=True)
class Addresses:
    """What the tenant is shown; empty: what was shown before."""

    op: Operation
    shown: list[dict[str, Any]]


def reached_at(shown: Sequence[Mapping[str, Any]]) -> str:
    """The address that a name is to lead to, of those that a tenant is shown: the public one, if there is one."""
    return str(min(shown, key=lambda one: one["type"] != "public")["address"]) if shown else ""


@dataclass(frozen=True)
class WantName:
    """A DNS record by `key`: `name` is in the zone that follows its first dot."""

    op: Operation
    key: str
    name: str
    address: str


@dataclass(frozen=True)
class GuestChange:
    """Input of GuestWrite: one named job on the guest.  `spec_ref`: the secret that holds its spec."""

    op: Operation
    kind: str
    spec_ref: str = ""


@dataclass(frozen=True)
class RepairInstance:
    """Input of InstanceRepair: the server and the data volume that the instance has."""

    op: Operation
    server_key: str
    volume_key: str


@dataclass(frozen=True)
class GuestQuestion:
    """Input of GuestRead: one call that changes nothing."""

    instance_id: str
    project_id: str
    method: str
    params: dict[str, Any] = field(default_factory=dict)
    deadline: float = 15.0
    request_id: str = ""


@dataclass(frozen=True)
class Want:
    """A thing to be made or removed, found again by `key` on every attempt."""

    op: Operation
    key: str
    size_gb: int = 0
    volume_type: str = ""
    flavor_id: str = ""
    port_key: str = ""
    volume_key: str = ""
    name: str = ""
    datastore_version_id: str = ""
    availability_zone: str = ""
    user_port_key: str = ""
    root_volume_key: str = ""
    group_key: str = ""


@dataclass(frozen=True)
class WantUserPort:
    """A tenant's port by `key`, and the security group that guards it by `group_key`."""

    op: Operation
    key: str
    group_key: str
    network: UserNetwork


@dataclass(frozen=True)
class WantServerGroup:
    op: Operation
    key: str
    policy: str


@dataclass(frozen=True)
class ServerFacts:
    """Where the instance's server is; `key` finds it in the cloud.

    `addresses`: what the tenant is shown; empty: the management address.  `hostname`: what leads there; empty: no name does.
    """

    op: Operation
    key: str
    address: str
    ssh_port: int = 22
    addresses: list[dict[str, Any]] = field(default_factory=list)
    hostname: str = ""


@dataclass(frozen=True)
class GuestJob:
    """A named job to be run on the instance's guest to its end.  `address`: where it answers, if the instance's row may not say so yet."""

    op: Operation
    job_id: str
    kind: str
    spec_ref: str = ""
    address: str = ""
    ssh_port: int = 0


@dataclass(frozen=True)
class JobLook:
    """What guest.start_job saw: whether the job has ended (well, or it would have raised), and if not, whether the guest can be relied on to
    report its end."""

    ended: bool = False
    reports: bool = False
    revision: int = 0


CHECKS = "checks/"
"""How the paths of objects begin that GuestObjectCheck makes; its operation's id follows."""


@dataclass(frozen=True)
class ObjectTransfer:
    """A named job of the instance's guest that sends or reads the object at `path`, in the container of the operation's project.

    `size` (bytes) and `sha256` of what is to be read.
    """

    op: Operation
    job_id: str
    path: str
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class ObjectFacts:
    """What objects.upload has committed."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Outcome:
    """How an operation ended, for records.finish_operation."""

    op: Operation
    ok: bool
    cancelled: bool = False
    error_type: str = ""
    error_message: str = ""


@dataclass(frozen=True)
class Duty:
    """Input of StandingDuty and DutyRound, and of their activity: `subject` is what it is about, a pool's name for instance."""

    activity: str
    subject: str = ""
