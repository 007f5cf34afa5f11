"""SQL rows of operations and instances.  One activity, one transaction; each is a compare-and-set, so a second run changes nothing."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session
from temporalio import activity

from models import Database, Instance, InstanceState, OperationRow, OperationState, OperationStep, StepState
from models.base import rows_changed, utcnow
from models.datastore import FlavorRow
from models.outbox import record_end
from models.quota import held_by_instance, release
from security.vault import Vault
from telemetry.engines import begun
from telemetry.records import forget
from workflows.contracts import Addresses, Operation, Outcome, ServerFacts


class RecordActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name="records.claim_operation", no_thread_cancel_exception=True)
    def claim_operation(self, op: Operation) -> bool:
        """Whether the operation is still to be run."""
        with self._database.write() as s:
            mine = update(OperationRow).where(OperationRow.id == op.id, OperationRow.state.in_(OperationState.open()))
            claimed = rows_changed(s, mine.values(state=OperationState.RUNNING)) == 1
            s.execute(
                update(OperationRow)
                .where(OperationRow.id == op.id, OperationRow.started_at.is_(None))
                .values(started_at=utcnow())
            )
            return claimed

    @activity.defn(name="records.set_server", no_thread_cancel_exception=True)
    def set_server(self, facts: ServerFacts) -> None:
        """Where the guest answers and what address the tenant uses."""
        with self._database.write() as s:
            mine = update(Instance).where(Instance.id == facts.op.instance_id, Instance.operation_id == facts.op.id)
            s.execute(
                mine.values(
                    server_key=facts.key,
                    management_address=facts.address,
                    management_port=facts.ssh_port,
                    hostname=facts.hostname or None,
                    addresses=facts.addresses or [{"address": facts.address, "type": "private", "network": None}],
                )
            )

    @activity.defn(name="records.set_addresses", no_thread_cancel_exception=True)
    def set_addresses(self, addresses: Addresses) -> None:
        mine = update(Instance).where(Instance.id == addresses.op.instance_id, Instance.operation_id == addresses.op.id)
        if addresses.shown:
            with self._database.write() as s:
                s.execute(mine.values(addresses=addresses.shown))

    @activity.defn(name="records.finish_operation", no_thread_cancel_exception=True)
    def finish_operation(self, out: Outcome) -> None:
        """Close the operation, settle what it means for its instance, free the lock and tell subscribers: one transaction."""
        with self._database.write() as s:
            row = s.get_one(OperationRow, out.op.id)
            if row.state not in OperationState.open():
                return
            row.state = OperationState.DONE if out.ok else OperationState.CANCELLED if out.cancelled else OperationState.FAILED
            row.error_type, row.error_message, row.finished_at = out.error_type, out.error_message, utcnow()
            instance = s.get_one(Instance, out.op.instance_id)
            SETTLE[row.kind](s, instance, row, out)
            _close_steps(s, row)
            if instance.operation_id == row.id:
                instance.operation_id = None
            if instance.delete_operation_id == row.id and not out.ok:
                instance.delete_operation_id = None
            record_end(s, instance, row)


def _settle_create(s: Session, instance: Instance, row: OperationRow, out: Outcome) -> None:
    if out.ok:
        instance.state = InstanceState.READY
        if row.input.get("root_enabled"):
            instance.root_enabled_at, instance.root_enabled_by = utcnow(), row.user_id
        _clear_fault(instance)
        Vault.forget(s, instance.id, purpose="prepare")  # the tenants' first passwords, of no use to us any more
        return
    instance.state = InstanceState.ERROR
    instance.server_key = instance.management_address = instance.management_port = None
    instance.addresses, instance.hostname = [], None
    forget(s, instance.id)
    _note_fault(instance, out)
    give_back_quota(s, instance)


def _settle_restart(s: Session, instance: Instance, row: OperationRow, out: Outcome) -> None:
    if out.ok:
        instance.state = InstanceState.READY
        _clear_fault(instance)
        begun(s, instance.id)
    elif not out.cancelled:
        instance.state = InstanceState.ERROR
        _note_fault(instance, out)


def _settle_delete(s: Session, instance: Instance, row: OperationRow, out: Outcome) -> None:
    if not out.ok:
        instance.state = InstanceState.ERROR
        _note_fault(instance, out)
        return
    instance.state, instance.deleted_at = InstanceState.DELETED, utcnow()
    instance.operation_id = None
    instance.server_key = instance.management_address = instance.channel_key_ref = instance.hostname = None
    give_back_quota(s, instance)
    forget(s, instance.id)
    Vault.forget(s, instance.id)


def _settle_guest_write(s: Session, instance: Instance, row: OperationRow, out: Outcome) -> None:
    """The instance is as well as before; what was refused is the operation's own error."""
    change = row.input["kind"]
    if out.ok and change == "enable_root":
        instance.root_enabled_at, instance.root_enabled_by = utcnow(), row.user_id
    Vault.forget(s, instance.id, purpose=row.id)


def _settle_guest_upgrade(s: Session, instance: Instance, row: OperationRow, out: Outcome) -> None:
    """The instance is as well as before: an agent that does not answer has been taken back by its server."""


def _settle_access(s: Session, instance: Instance, row: OperationRow, out: Outcome) -> None:
    """The instance is as well as before; what was refused is the operation's own error."""
    if out.ok:
        instance.access = row.input["wanted"]


def _settle_object_check(s: Session, instance: Instance, row: OperationRow, out: Outcome) -> None:
    """The instance was only asked; what it could not do is the operation's own error."""


SETTLE: dict[str, Callable[[Session, Instance, OperationRow, Outcome], Any]] = {
    "InstanceCreate": _settle_create,
    "InstanceRestart": _settle_restart,
    "InstanceRepair": _settle_restart,
    "InstanceDelete": _settle_delete,
    "GuestWrite": _settle_guest_write,
    "GuestUpgrade": _settle_guest_upgrade,
    "InstanceAccess": _settle_access,
    "GuestObjectCheck": _settle_object_check,
}
"""What the end of each kind of operation means for its instance."""


def _close_steps(s: Session, row: OperationRow) -> None:
    """What a dead worker left open; the step that runs just now closes itself."""
    left = OperationStep.state.in_((StepState.RUNNING, StepState.WAITING)), OperationStep.id != "finish"
    mine = update(OperationStep).where(OperationStep.operation_id == row.id, *left)
    s.execute(mine.values(state=StepState.CANCELLED, finished_at=utcnow()))


def give_back_quota(s: Session, instance: Instance) -> None:
    """Once, whoever comes first: the flag falls in the same transaction."""
    if not instance.quota_held:
        return
    release(s, instance.project_id, held_by_instance(instance.volume_size, s.get(FlavorRow, instance.flavor_id)))
    instance.quota_held = False


def _clear_fault(instance: Instance) -> None:
    instance.fault_message = instance.fault_details = instance.fault_at = None


def _note_fault(instance: Instance, out: Outcome) -> None:
    instance.fault_message = out.error_message[:255]
    instance.fault_details = f"{out.error_type} in operation {out.op.id}"
    instance.fault_at = utcnow()
