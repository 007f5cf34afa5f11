"""Subscriptions of a project to events."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api import instances
from api.context import Context, services
from api.errors import Conflict, NotFound, OverLimit
from api.messaging.parts import messaging
from messaging import metadata
from messaging.errors import QueueNotFound
from messaging.names import check_queue
from models import EventSubscription, OutboxRow
from models.event import forget
from models.quota import QuotaExceeded, release, reserve

COUNTED = "event_subscriptions"


def subscribe(who: Context, new: Mapping[str, Any]) -> EventSubscription:
    """The queue is made first, so that what speaks against it is told now and not when there is something to deliver."""
    database, most = services().database, services().conf.events.max_subscriptions
    if new["instance_id"]:
        with database.read() as s:
            instances.find(s, who, new["instance_id"])
    _ensure_queue(who.project_id, new["queue"], new["flavor"])
    row = EventSubscription(project_id=who.project_id, user_id=who.user_id, **new)
    with database.write() as s:
        try:
            reserve(s, who.project_id, {COUNTED: 1}, {COUNTED: most})
        except QuotaExceeded as e:
            raise OverLimit(f"A project has at most {most} subscriptions to events: end one that is not needed.") from e
        s.add(row)
    return row


def _ensure_queue(project_id: str, name: str, flavor: str | None) -> None:
    """Raises Conflict for a queue of another flavor, and what messaging raises: UnknownFlavor, InvalidRequest, NoPool."""
    check_queue(project_id, name)
    if messaging().queues.put(project_id, name, {metadata.FLAVOR: flavor}) or not flavor:
        return
    try:
        there = metadata.flavor_of(messaging().queues.get(project_id, name).metadata)
    except QueueNotFound:  # deleted just now; delivery makes it
        return
    if there != flavor:
        raise Conflict(f"Queue {name} is there already, of {f'flavor {there}' if there else 'no flavor'}: name another queue.")


def change(who: Context, subscription_id: str, types: Sequence[str] | None) -> None:
    """Of changes committed from now on the subscription is told what it wants now."""
    with services().database.write() as s:
        find(s, who, subscription_id).types = None if types is None else list(types)


def unsubscribe(who: Context, subscription_id: str) -> None:
    """What has not been delivered goes with it; the queue stays, with what is in it."""
    with services().database.write() as s:
        find(s, who, subscription_id)
        if forget(s, subscription_id):
            release(s, who.project_id, {COUNTED: 1})


def find(s: Session, who: Context, subscription_id: str) -> EventSubscription:
    row = s.get(EventSubscription, subscription_id)
    if row is None or row.project_id != who.project_id:
        raise NotFound(f"Event subscription '{subscription_id}' cannot be found.")
    return row


def waiting(s: Session, subscription_id: str) -> int:
    """How many events are still to be delivered."""
    return s.scalar(select(func.count()).where(OutboxRow.subscription_id == subscription_id)) or 0
