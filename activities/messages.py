"""Queues of messages: each guest's own, and what is to be cleared away in all of them."""

from contextlib import suppress
from statistics import median

import structlog
from sqlalchemy import func, literal, or_, select
from temporalio import activity

from activities.waiting import still_wanted
from messaging.catalogue import DELETING
from messaging.errors import MessagingError, NoPool, StoreUnavailable
from messaging.metadata import FLAVOR
from messaging.service import Messaging
from models import CatalogueRow, Database, Instance
from telemetry.records import forget
from telemetry.urls import PREFIX, queue_of
from workflows.contracts import Duty, Operation

AT_A_TIME = 1000
MOST_TURNS = 200
SAMPLE = 100

log = structlog.get_logger(__name__)


class MessageActivities:
    """Guests report through queues of `project`, in pools of `flavor` ("": those without one).

    No database waits for a store of messages: a queue that could not be made, or not be removed whole, is looked after by the next round.
    """

    def __init__(self, database: Database, messaging: Messaging, project: str, flavor: str) -> None:
        self._database, self._messaging = database, messaging
        self._project, self._flavor = project, flavor

    @activity.defn(name="messages.create_queue", no_thread_cancel_exception=True)
    def create_queue(self, op: Operation) -> None:
        """The queue that the instance's guest will post to; what an earlier server of this instance has said is forgotten."""
        with self._database.write() as s:
            forget(s, op.instance_id)
        self.ensure_queue(op.instance_id)

    @activity.defn(name="messages.delete_queue", no_thread_cancel_exception=True)
    def delete_queue(self, op: Operation) -> None:
        """From here on nobody can post to it."""
        self._delete(queue_of(op.instance_id))
        with self._database.write() as s:
            forget(s, op.instance_id)

    @activity.defn(name="messages.sweep", no_thread_cancel_exception=True)
    def sweep(self, duty: Duty) -> None:
        """Remove expired messages from every pool, and queues of guests that are gone."""
        for _ in range(MOST_TURNS):
            still_wanted()
            removed = self._messaging.sweep(AT_A_TIME)
            if not any(count >= AT_A_TIME for count in removed.values()):
                break
        for name in self._orphans():
            still_wanted()
            self._delete(name)

    def has_pool(self) -> bool:
        """Whether there is any for messages to be kept in."""
        return bool(self._messaging.stores.names())

    def delay(self) -> float:
        """For how many seconds guests' reports wait to be drained: the median of some of those that wait, in the pool where it is greatest."""
        found = [0.0]
        for pool in self._messaging.stores.names():
            with suppress(StoreUnavailable, NoPool):
                waiting = self._messaging.collector.gather(pool, self._project, SAMPLE)
                found += [median(message.age for message in waiting)] if waiting else []
        return max(found)

    def ensure_queue(self, instance_id: str) -> bool:
        """Whether it is there."""
        metadata = {FLAVOR: self._flavor} if self._flavor else {}
        try:
            self._messaging.queues.put(self._project, queue_of(instance_id), metadata)
        except MessagingError as e:
            log.warning("a guest has no queue to report to yet", instance_id=instance_id, reason=str(e))
            return False
        return True

    def _delete(self, queue: str) -> None:
        try:
            self._messaging.queues.delete(self._project, queue)
        except MessagingError as e:
            log.warning("a queue is removed later", queue=queue, reason=str(e))

    def _orphans(self) -> list[str]:
        """Queues whose removal somebody has begun, and those of instances that are gone."""
        instance_id = func.substr(CatalogueRow.name, len(PREFIX) + 1)
        gone = select(literal(1)).where(Instance.id == instance_id, Instance.deleted_at.is_not(None)).exists()
        ours = select(CatalogueRow.name).where(CatalogueRow.project == self._project)
        with self._database.read() as s:
            return list(s.scalars(ours.where(or_(CatalogueRow.state == DELETING, gone)).limit(AT_A_TIME)))
