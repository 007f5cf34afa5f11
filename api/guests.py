"""What requests want from guests: reads with a deadline, and changes as operations whose end is awaited for a while."""

import json
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from api import instances
from api.context import Context, services
from api.errors import BadRequest, Fault, NotFound, ServiceUnavailable, Unprocessable
from api.lifecycle import busy
from api.operations import OperationFailed, Operations, StillRunning
from models import Instance, OperationRow
from models.base import new_id
from models.instance import Busy
from workflows.contracts import GuestChange, GuestQuestion, Operation

WRITE = "GuestWrite"

FAULTS: Mapping[str, type[Fault]] = {
    "InvalidRequest": BadRequest,
    "DatabaseExists": BadRequest,
    "UserExists": BadRequest,
    "DatabaseNotFound": NotFound,
    "UserNotFound": NotFound,
    "RootNotEnabled": NotFound,
    "NotSupported": Unprocessable,
    "UnknownMethod": Unprocessable,
    "StaleGeneration": Unprocessable,
    "Cancelled": Unprocessable,
    "EngineFailed": Unprocessable,
    "EngineUnavailable": ServiceUnavailable,
    "GuestUnreachable": ServiceUnavailable,
    "Timeout": ServiceUnavailable,
}
"""What the guest's error types mean to the client; others are ours to answer for."""


def ask(who: Context, instance_id: str, method: str, **params: Any) -> dict[str, Any]:
    """One read.  Raises GuestSilent, or the fault that the guest's refusal stands for."""
    deadline: float = services().conf.api.guest_deadline
    question = GuestQuestion(instance_id, who.project_id, method, params, deadline, who.request_id)
    try:
        return services().operations.ask(question)
    except OperationFailed as e:
        raise fault_of(e) from e


def change(who: Context, instance_id: str, kind: str, spec: Mapping[str, Any]) -> str | None:
    """Have the guest do one named job.  Gives the id of the operation if it is still running after the deadline, else None.

    Changes of one instance queue up behind each other; behind anything else they are refused.
    """
    parts = services()
    until = time.monotonic() + parts.conf.api.guest_deadline
    while isinstance(begun := _begin(who, instance_id, kind, spec), _Holder):
        try:
            if begun.row:
                parts.operations.wait_for_end(begun.row, until - time.monotonic())
        except StillRunning as e:
            raise Unprocessable(busy(instance_id, "ACTIVE")) from e
    try:
        parts.operations.start_and_wait(begun, max(until - time.monotonic(), 0.1))
    except StillRunning:
        return begun.id
    except OperationFailed as e:
        raise fault_of(e) from e
    return None


class _Holder:
    """The change that is before ours; None when it has just let go."""

    def __init__(self, row: OperationRow | None) -> None:
        self.row = row


def _begin(who: Context, instance_id: str, kind: str, spec: Mapping[str, Any]) -> OperationRow | _Holder:
    parts = services()
    op_id = new_id()
    with parts.database.write() as s:
        instances.find_ready(s, who, instance_id)
        try:
            generation = Instance.reserve(s, instance_id, op_id)
        except Busy as e:
            return _holder(s, instance_id, e)
        op = Operation(op_id, instance_id, who.project_id, generation, who.request_id)
        ref = parts.vault.put(s, instance_id, op_id, json.dumps(spec))
        return Operations.record(s, WRITE, GuestChange(op, kind, ref), who.caller)


def _holder(s: Session, instance_id: str, e: Busy) -> _Holder:
    instance = s.get_one(Instance, instance_id, populate_existing=True)
    row = s.get(OperationRow, instance.operation_id or "")
    if instance.delete_operation_id or (row and row.kind != WRITE):
        raise Unprocessable(busy(instance_id, "ACTIVE")) from e
    return _Holder(row)


def fault_of(e: OperationFailed) -> Exception:
    """With the guest's own words, which hold no secret; an unknown type is a bug and stays one."""
    kind = FAULTS.get(e.type)
    return kind(str(e)) if kind else e
