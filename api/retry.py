"""Trying an operation again: an open one at its waiting step, an ended one as a new operation with the same input."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from api import instances
from api.context import Context, services
from api.errors import Conflict
from api.lifecycle import quota_limits, reserve_for_restart
from api.operations import Operations
from models import FlavorRow, Instance, InstanceState, OperationRow, OperationState
from models.base import new_id
from models.instance import Busy
from models.quota import held_by_instance, reserve
from workflows.contracts import Operation


def retry(who: Context, row: OperationRow) -> str:
    """The id of the operation that now runs.  Raises NotAllowed or a Fault."""
    if row.state in OperationState.open():
        services().operations.retry_now(row)
        return row.id
    if row.state == OperationState.DONE:
        raise Conflict(f"Operation {row.id} has ended well; there is nothing to try again.")
    if row.kind not in GUARDS:
        raise Conflict("What was to be changed is not kept, as it may hold passwords: send the request again.")
    return _again(who, row)


def _again(who: Context, row: OperationRow) -> str:
    parts = services()
    op_id = new_id()
    with parts.database.write() as s:
        generation = GUARDS[row.kind](s, who, row, op_id)
        op = Operation(op_id, row.instance_id, row.project_id, generation, who.request_id)
        again = Operations.record_input(s, row.kind, op, row.input, who.caller, retry_of=row.id)
    parts.operations.start(again)
    return op_id


def _create_again(s: Session, who: Context, row: OperationRow, op_id: str) -> int:
    """Only while nothing else has happened to the instance since."""
    instance = instances.find(s, who, row.instance_id)
    newest = select(OperationRow.id).where(OperationRow.instance_id == row.instance_id).order_by(OperationRow.created_at.desc())
    if s.scalars(newest.limit(1)).first() != row.id or instance.state != InstanceState.ERROR:
        raise Conflict(f"Something newer has happened to instance {row.instance_id} since operation {row.id}.")
    generation = _reserved(s, row, op_id)
    if not instance.quota_held:
        amounts = held_by_instance(instance.volume_size, s.get(FlavorRow, instance.flavor_id))
        reserve(s, instance.project_id, amounts, quota_limits(s, instance.project_id))
    instance.quota_held = True
    instance.state = InstanceState.BUILDING
    instance.fault_message = instance.fault_details = instance.fault_at = None
    return generation


def _restart_again(s: Session, who: Context, row: OperationRow, op_id: str) -> int:
    return reserve_for_restart(s, who, row.instance_id, op_id)


def _delete_again(s: Session, who: Context, row: OperationRow, op_id: str) -> int:
    instances.find(s, who, row.instance_id)
    try:
        return Instance.reserve_for_delete(s, row.instance_id, op_id)
    except Busy as e:
        raise Conflict(f"Instance {row.instance_id} is being deleted already.") from e


def _reserved(s: Session, row: OperationRow, op_id: str) -> int:
    try:
        return Instance.reserve(s, row.instance_id, op_id)
    except Busy as e:
        raise Conflict(f"Instance {row.instance_id} is busy: delete it, or wait for what runs on it.") from e


GUARDS = {
    "InstanceCreate": _create_again,
    "InstanceRestart": _restart_again,
    "InstanceAccess": _restart_again,
    "InstanceRepair": _restart_again,
    "InstanceDelete": _delete_again,
    "GuestUpgrade": _restart_again,
    "GuestObjectCheck": _restart_again,
}
