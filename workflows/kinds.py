"""What the rest of Coffer must know about each kind of operation, without importing its workflow."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """`workflow_id`: the lock of the resource, `{}` is the instance's id.  `status`: what the instance's status is meanwhile
    ("" = unchanged).  `cancellable`: whether a run that has begun can be taken back.  `hears_guests`: whether its workflow takes the signal
    `job_ended`."""

    workflow_id: str
    status: str
    cancellable: bool
    hears_guests: bool = False


KINDS: dict[str, Kind] = {
    "InstanceCreate": Kind("instance:{}", "BUILD", cancellable=True, hears_guests=True),
    "InstanceRestart": Kind("instance:{}", "REBOOT", cancellable=False),
    "InstanceAccess": Kind("instance:{}", "", cancellable=False),
    "InstanceRepair": Kind("instance:{}", "REBOOT", cancellable=False),
    "InstanceDelete": Kind("instance-delete:{}", "SHUTDOWN", cancellable=False),
    "GuestWrite": Kind("instance:{}", "", cancellable=False),
    "GuestUpgrade": Kind("instance:{}", "", cancellable=False),
    "GuestObjectCheck": Kind("instance:{}", "", cancellable=False),
}
