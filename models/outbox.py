"""Telling subscribers: one row per event and subscription, in the transaction of the change itself.

Background.  An event must exist exactly if its change was committed, and those of an instance must go out in the order of its changes.

How it works.  `record` looks for subscriptions; without one it has cost a look at an index.  Else it raises the instance's counter, which
locks its row: whoever changes the same instance then waits for our commit, so numbers and ids rise in the order of commits.  Only then the
instance is read, so an event shows it as it is, and not as it was before somebody else's change.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from models.base import new_id, utcnow
from models.datastore import Datastore, DatastoreVersion, FlavorRow
from models.event import EventSubscription, OutboxRow
from models.event_types import ENDS, OPERATION_ENDS, STATUS_RESET, USAGE, wanted
from models.instance import Instance, InstanceState
from models.operation import OperationRow, OperationState

OUTBOX = "outbox"
"""What `Database.when_committed` calls a transaction that has written events."""

STATES = {
    InstanceState.BUILDING: "build",
    InstanceState.READY: "active",
    InstanceState.ERROR: "error",
    InstanceState.DELETED: "shutdown",
}
"""Trove's words in usage notifications."""

EXISTS_IDS = uuid.UUID("6f0f7c52-4f3c-5b8e-9a55-0d3c1f1a2b77")


@dataclass(frozen=True)
class Event:
    type: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    """Of a usage notification: what it has besides the usual fields."""
    id: str = field(default_factory=new_id)
    before: datetime | None = None
    """Only for subscriptions made until then."""


@dataclass(frozen=True)
class _Seen:
    """An instance as its transaction is about to leave it."""

    instance: Instance
    version: DatastoreVersion
    datastore: Datastore
    flavor: FlavorRow | None


def record(s: Session, instance: Instance, events: Sequence[Event], operation: OperationRow | None = None) -> int:
    """Add the events to the caller's transaction, after everything else that it changes.  Gives how many rows that were."""
    told = _told(s, instance, events)
    if not told:
        return 0
    s.flush()
    raised = update(Instance).where(Instance.id == instance.id)
    # `updated` is what a tenant changed; a number drawn is none of that.
    s.execute(
        raised.values(event_sequence=Instance.event_sequence + len(told), updated_at=Instance.updated_at),
        execution_options={"synchronize_session": False},
    )
    seen = _seen(s, instance.id)
    for number, (event, subscriptions) in enumerate(told, seen.instance.event_sequence - len(told) + 1):
        body = _body(event, number, seen, operation)
        for id in subscriptions:
            s.add(OutboxRow(subscription_id=id, body=body))
            s.flush()  # one at a time: their ids shall rise in this order
    s.info[OUTBOX] = True
    return sum(len(subscriptions) for _, subscriptions in told)


def record_end(s: Session, instance: Instance, row: OperationRow) -> None:
    """How an operation has ended, in the transaction that closes it."""
    error = {"type": row.error_type, "message": row.error_message} if row.error_type else None
    change = {"change": row.input["kind"]} if row.kind == "GuestWrite" else {}
    events = [Event(OPERATION_ENDS[row.state.value], {**change, "error": error})]
    if row.state == OperationState.DONE:
        events += [Event(type, {} if type in USAGE else change) for type in ENDS[row.kind]]
    record(s, instance, events, row)


def record_reset(s: Session, instance: Instance, row: OperationRow) -> None:
    """An administrator's reset has closed an operation."""
    record_end(s, instance, row)
    record(s, instance, [Event(STATUS_RESET)], row)


def exists_id(instance_id: str, ending: datetime) -> str:
    """The same for an instance and a period, whoever writes it and how often."""
    return str(uuid.uuid5(EXISTS_IDS, f"{instance_id} {ending.isoformat()}"))


def moment(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _told(s: Session, instance: Instance, events: Sequence[Event]) -> list[tuple[Event, list[str]]]:
    """The events that somebody wants, each with the subscriptions that it goes to."""
    columns = EventSubscription.id, EventSubscription.types, EventSubscription.created_at
    of_project = select(*columns).where(
        EventSubscription.project_id == instance.project_id,
        or_(EventSubscription.instance_id.is_(None), EventSubscription.instance_id == instance.id),
    )
    found = s.execute(of_project).all()
    told = []
    for event in events:
        ids = [id for id, types, made in found if wanted(types, event.type) and (event.before is None or made <= event.before)]
        if ids:
            told.append((event, ids))
    return told


def _seen(s: Session, instance_id: str) -> _Seen:
    whole = (
        select(Instance, DatastoreVersion, Datastore, FlavorRow)
        .join(DatastoreVersion, DatastoreVersion.id == Instance.datastore_version_id)
        .join(Datastore, Datastore.id == DatastoreVersion.datastore_id)
        .outerjoin(FlavorRow, FlavorRow.id == Instance.flavor_id)
        .where(Instance.id == instance_id)
    )
    return _Seen(*s.execute(whole, execution_options={"populate_existing": True}).one())


def _body(event: Event, number: int, seen: _Seen, operation: OperationRow | None) -> dict[str, Any]:
    """What goes into the queue, but for the region, which is every event's."""
    instance = seen.instance
    return {
        "id": event.id,
        "type": event.type,
        "sequence": number,
        "time": moment(utcnow()),
        "project_id": instance.project_id,
        "instance": {
            "id": instance.id,
            "name": instance.name,
            "datastore": {"type": seen.datastore.name, "version": seen.version.name},
            "flavor_id": instance.flavor_id,
            "volume": {"size": instance.volume_size},
        },
        "operation": _operation(operation),
        "payload": {**(_usage(seen, operation) if event.type in USAGE else {}), **event.payload},
    }


def _operation(row: OperationRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"id": row.id, "kind": row.kind, "request_id": row.request_id, "user_id": row.user_id}


def _usage(seen: _Seen, operation: OperationRow | None) -> dict[str, Any]:
    """Trove's fields.  Servers and volumes belong to the service's own project, so their ids are nobody else's business."""
    instance, flavor = seen.instance, seen.flavor
    state = STATES[instance.state]
    usage = {
        "availability_zone": None,
        "created_at": moment(instance.created_at),
        "display_name": instance.name,
        "instance_id": instance.id,
        "instance_name": instance.name,
        "instance_size": flavor.ram_mb if flavor else None,
        "instance_type": flavor.name if flavor else None,
        "instance_type_id": instance.flavor_id,
        "launched_at": moment(instance.created_at),
        "name": instance.name,
        "nova_instance_id": None,
        "nova_volume_id": None,
        "service_id": seen.datastore.id,
        "state": state,
        "state_description": state,
        "tenant_id": instance.project_id,
        "user_id": operation.user_id if operation else None,
        "volume_size": instance.volume_size,
    }
    return usage | ({"deleted_at": moment(instance.deleted_at)} if instance.deleted_at else {})
