"""From the outbox into the queues of tenants, a batch at a time.

Background.  What is in the outbox has happened; it has to reach the queue at least once, and an instance's events in their order.

How it works.  Of each subscription the oldest rows are posted, all or none, and then removed.  A subscription whose post fails is held back for
a while, longer each time, with the reason in its row; its rows wait in their order, at most so many, then the oldest are given up and
counted.  Subscriptions that work come first, and those that don't get only so much time of a round.

What if we crash here.  Between post and removal the same rows are posted again; their ids tell.  Two at a time only repeat each other: what is
removed has been posted, so nobody posts an event before all that precede it.
"""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from messaging.bell import Bell
from messaging.errors import MessagingError, QueueNotFound
from messaging.service import Draft, Messaging
from models import Database, EventSubscription, OutboxRow
from models.base import rows_changed, utcnow
from models.event import orphans, remove
from models.event_types import USAGE
from security.keyring import Unsealable

log = structlog.get_logger(__name__)

BATCH = 100
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds that a subscription is held back after its first failure, and at most."""
TROUBLE_SECONDS = 2.0
"""Of a round, for subscriptions that did not work the last time."""
CLIENT = "coffer-events"
REASON_LENGTH = 255


class Delivery:
    """`bell` tells those who wait for messages.  `most_waiting`: rows of a subscription that cannot be delivered."""

    def __init__(self, database: Database, messaging: Messaging, bell: Bell, region: str, most_waiting: int) -> None:
        self._database, self._messaging, self._bell = database, messaging, bell
        self._region, self._most_waiting = region, most_waiting

    def wanted(self) -> bool:
        """Whether there is anybody to tell, or anything to be removed."""
        with self._database.read() as s:
            return any(s.scalars(select(column).limit(1)).first() is not None for column in (EventSubscription.id, OutboxRow.id))

    def sweep(self) -> None:
        """Remove what waits for subscriptions that are gone."""
        while ids := self._orphans():
            with self._database.write() as s:
                remove(s, ids)

    def _orphans(self) -> Sequence[int]:
        with self._database.read() as s:
            return orphans(s)

    def round(self, going_on: Callable[[], bool] = lambda: True) -> int:
        """A batch for each subscription that has something waiting.  Gives the number of messages posted."""
        posted, trouble_until = 0, time.monotonic() + TROUBLE_SECONDS
        for subscription in self._due():
            if not going_on() or (subscription.failures and time.monotonic() > trouble_until):
                break
            posted += self._batch(subscription)
        return posted

    def _due(self) -> Sequence[EventSubscription]:
        """Those that have something waiting and are not held back, the healthy ones first."""
        waiting = select(OutboxRow.id).where(OutboxRow.subscription_id == EventSubscription.id)
        free = or_(EventSubscription.retry_at.is_(None), EventSubscription.retry_at <= utcnow())
        due = select(EventSubscription).where(waiting.exists(), free)
        with self._database.read() as s:
            return s.scalars(due.order_by(EventSubscription.failures, EventSubscription.retry_at, EventSubscription.id)).all()

    def _batch(self, subscription: EventSubscription) -> int:
        oldest = select(OutboxRow).where(OutboxRow.subscription_id == subscription.id).order_by(OutboxRow.id).limit(BATCH)
        with self._database.read() as s:
            rows = s.scalars(oldest).all()
        if not rows:  # another shift has been here
            return 0
        try:
            self._post(subscription, [Draft(self._told(row.body), subscription.ttl) for row in rows])
        except (MessagingError, Unsealable) as e:
            self._hold_back(subscription, e)
            return 0
        with self._database.write() as s:
            remove(s, [row.id for row in rows])
            if subscription.failures:
                mine = update(EventSubscription).where(EventSubscription.id == subscription.id)
                s.execute(mine.values(failures=0, retry_at=None, reason=""))
        self._bell.ring(subscription.project_id, subscription.queue)
        return len(rows)

    def _told(self, body: dict[str, Any]) -> dict[str, Any]:
        """With what all events of this deployment have in common; Trove has it in the payload."""
        here = {"region": self._region}
        return {**body, **here, "payload": body["payload"] | (here if body["type"] in USAGE else {})}

    def _post(self, subscription: EventSubscription, drafts: Sequence[Draft]) -> None:
        where = subscription.project_id, subscription.queue
        try:
            self._messaging.messages.post(*where, drafts, CLIENT, create=False)
        except QueueNotFound:  # not made yet, or deleted by the tenant
            self._messaging.queues.put(*where, {"_flavor": subscription.flavor})
            self._messaging.messages.post(*where, drafts, CLIENT)

    def _hold_back(self, subscription: EventSubscription, problem: Exception) -> None:
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(subscription.failures, 16))
        with self._database.write() as s:
            dropped = self._give_up_oldest(s, subscription.id)
            mine = update(EventSubscription).where(EventSubscription.id == subscription.id)
            s.execute(
                mine.values(
                    failures=EventSubscription.failures + 1,
                    retry_at=utcnow() + timedelta(seconds=pause),
                    reason=str(problem)[:REASON_LENGTH],
                    dropped=EventSubscription.dropped + dropped,
                )
            )
        log.warning("events wait", subscription_id=subscription.id, reason=type(problem).__name__, pause=pause, dropped=dropped)

    def _give_up_oldest(self, s: Session, subscription_id: str) -> int:
        theirs = OutboxRow.subscription_id == subscription_id
        newest_too_many = select(OutboxRow.id).where(theirs).order_by(OutboxRow.id.desc()).offset(self._most_waiting).limit(1)
        last = s.scalars(newest_too_many).first()
        return rows_changed(s, delete(OutboxRow).where(theirs, OutboxRow.id <= last)) if last is not None else 0
