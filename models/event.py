"""Who wants to be told of what happens to instances, and what is still to be told."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, Integer, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, UtcDateTime, new_id, rows_changed, utcnow


class EventSubscription(Base):
    __tablename__ = "event_subscriptions"
    __table_args__ = (Index("ix_event_subscriptions_project_created", "project_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(64), default="")
    instance_id: Mapped[str | None] = mapped_column(String(36))
    """NULL: all instances of the project."""
    types: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    """Types of events, or beginnings of some with `.*`; NULL: all."""
    queue: Mapped[str] = mapped_column(String(64))
    flavor: Mapped[str | None] = mapped_column(String(64))
    ttl: Mapped[int]
    """Seconds that a message stays in the queue."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)

    failures: Mapped[int] = mapped_column(default=0)
    """Attempts to deliver that have failed one after the other."""
    retry_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Held back until then."""
    reason: Mapped[str] = mapped_column(String(255), default="")
    dropped: Mapped[int] = mapped_column(BigInteger, default=0)
    """Events given up in all because more waited than may."""


class OutboxRow(Base):
    """One event for one subscription.  Written with the change that it tells of, removed once it is in the queue.

    There is no foreign key: a subscription that goes must not make the change fail that was about to be told to it.
    """

    __tablename__ = "event_outbox"
    __table_args__ = (Index("ix_event_outbox_subscription", "subscription_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    """Rises for each instance in the order of its changes, since whoever writes holds the instance's row."""
    subscription_id: Mapped[str] = mapped_column(String(36))
    body: Mapped[dict[str, Any]] = mapped_column(JSON)


def forget(s: Session, subscription_id: str) -> bool:
    """End a subscription; whether it was there.  What it still waits for is an orphan from now on."""
    return bool(rows_changed(s, delete(EventSubscription).where(EventSubscription.id == subscription_id)))


def orphans(s: Session, limit: int = 1000) -> Sequence[int]:
    """Ids of rows whose subscription is gone."""
    there = select(EventSubscription.id).where(EventSubscription.id == OutboxRow.subscription_id)
    return s.scalars(select(OutboxRow.id).where(~there.exists()).limit(limit)).all()


def remove(s: Session, ids: Sequence[int]) -> None:
    """By their ids, so that it waits for nobody who is just writing others."""
    s.execute(delete(OutboxRow).where(OutboxRow.id.in_(ids)))
