"""Break off what runs on an instance, so that something else may begin.

Background.  An operation that hangs for good keeps its lock; an administrator must be able to take it.  Taking a lock is only safe when the old
holder can't write any more.

How it works.  First the run is broken off in Temporal: a create is cancelled and unwinds, everything else is terminated.  Then one transaction
closes the operation's row as CANCELLED, which makes a late `finish_operation` a no-op, and raises the generation, which the guest and
`set_server` refuse to go below.  A create keeps the lock: its unwinding may still be under way, and a deletion, which is what is left to be done with
such an instance, waits for the holder of the lock.

What if we crash here.  Between the two the run is stopped and the row still open: resetting again goes through both again.
"""

from sqlalchemy import update
from sqlalchemy.orm import Session

from api import instances
from api.context import Context, services
from api.operations import release_unstarted
from models import Instance, InstanceState, OperationRow, OperationState
from models.base import rows_changed, utcnow
from models.event_types import STATUS_RESET
from models.outbox import Event, record, record_reset

ERROR_TYPE = "StatusReset"
MESSAGE = "The status was reset while {kind} was running."


def reset_status(who: Context, instance_id: str) -> None:
    parts = services()
    for row in _open(who, instance_id):
        if not _closed_unclaimed(row):
            parts.operations.break_off(row)
            with parts.database.write() as s:
                _close(s, row)
    with parts.database.write() as s:
        instance = instances.find(s, who, instance_id)
        if instance.state == InstanceState.BUILDING and instance.operation_id is None:
            instance.state = InstanceState.ERROR
            record(s, instance, [Event(STATUS_RESET)])


def _open(who: Context, instance_id: str) -> list[OperationRow]:
    """The deletion first: what it waits for is broken off only after it."""
    with services().database.read() as s:
        instance = instances.find(s, who, instance_id)
        holders = [s.get(OperationRow, id) for id in (instance.delete_operation_id, instance.operation_id) if id]
    return [row for row in holders if row and row.state in OperationState.open()]


def _closed_unclaimed(row: OperationRow) -> bool:
    """A run that has not claimed its operation never will: it needs no breaking off, and Temporal need not be there."""
    with services().database.write() as s:
        if not release_unstarted(s, row):
            return False
        _settle(s, row, free=True)
        return True


def _close(s: Session, row: OperationRow) -> None:
    mine = update(OperationRow).where(OperationRow.id == row.id, OperationRow.state.in_(OperationState.open()))
    message = MESSAGE.format(kind=row.kind)
    ended = mine.values(state=OperationState.CANCELLED, error_type=ERROR_TYPE, error_message=message, finished_at=utcnow())
    if rows_changed(s, ended):  # else it came to its own end just now, and has settled everything
        _settle(s, row, free=row.kind != "InstanceCreate")


def _settle(s: Session, row: OperationRow, *, free: bool) -> None:
    instance = s.get_one(Instance, row.instance_id, populate_existing=True, with_for_update=True)
    if free and instance.operation_id == row.id:
        instance.operation_id = None
    if instance.delete_operation_id == row.id:
        instance.delete_operation_id = None
    if row.kind == "InstanceCreate":  # its server is going, if there ever was one
        instance.server_key = instance.management_address = instance.management_port = None
        instance.addresses = []
    usable = instance.server_key and row.kind not in ("InstanceCreate", "InstanceDelete")
    instance.state = InstanceState.READY if usable else InstanceState.ERROR
    instance.generation += 1
    instance.fault_message = MESSAGE.format(kind=row.kind)
    instance.fault_details = f"{ERROR_TYPE} in operation {row.id}"
    instance.fault_at = utcnow()
    record_reset(s, instance, s.get_one(OperationRow, row.id, populate_existing=True))
