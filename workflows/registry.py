"""Every workflow there is.  The worker, the replayer and the durability matrix take theirs from here."""

from workflows.duties import DutyRound, StandingDuty
from workflows.guest_read import GuestRead
from workflows.guest_upgrade import GuestUpgrade
from workflows.guest_write import GuestWrite
from workflows.instance_access import InstanceAccess
from workflows.instance_create import InstanceCreate
from workflows.instance_delete import InstanceDelete
from workflows.instance_repair import InstanceRepair
from workflows.instance_restart import InstanceRestart
from workflows.object_check import GuestObjectCheck

WORKFLOWS: tuple[type, ...] = (
    InstanceCreate,
    InstanceDelete,
    InstanceRestart,
    InstanceAccess,
    InstanceRepair,
    GuestWrite,
    GuestUpgrade,
    GuestObjectCheck,
    GuestRead,
    StandingDuty,
    DutyRound,
)
