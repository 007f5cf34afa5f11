"""Payloads of workflows and activities.  Ids and references only: they are kept in history.  New fields get a default; none is ever renamed."""

from dataclasses import dataclass, field
from typing import Any


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
    """The plainest input: of InstanceDelete and InstanceRestart, and of steps that need only the operation."""

    op: Operation


@dataclass(frozen=True)
class CreateInstance:
    """Input of InstanceCreate.  `prepare_ref`: the secret that holds the guest's prepare spec (databases, users, passwords)."""

    op: Operation
    name: str
    flavor_id: str
    volume_gb: int
    datastore_version_id: str
    volume_type: str = ""
    prepare_ref: str = ""
    root_enabled: bool = False


@dataclass(frozen=True)
class GuestChange:
    """Input of GuestWrite: one named job on the guest.  `spec_ref`: the secret that holds its spec."""

    op: Operation
    kind: str
    spec_ref: str = ""


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


@dataclass(frozen=True)
class ServerFacts:
    """Where the instance's server is; `key` finds it in the cloud."""

    op: Operation
    key: str
    address: str
    ssh_port: int = 22


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
