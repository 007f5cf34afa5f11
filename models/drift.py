"""What a look at the cloud has found to be otherwise than the rows say, since when, and what is to be done about it."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UtcDateTime, utcnow


class DriftFinding(Base):
    """One difference, for as long as every look finds it; written by activities/findings.py."""

    __tablename__ = "drift_findings"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    """Made from what it is about, so that two looks write one row."""
    kind: Mapped[str] = mapped_column(String(16))
    thing: Mapped[str] = mapped_column(String(32))
    """server, volume, port, security rule, DNS record or instance"""
    instance_id: Mapped[str] = mapped_column(String(255))
    """What the thing says whose it is: not of necessity an instance that there is."""
    key: Mapped[str] = mapped_column(String(255))
    resource_id: Mapped[str] = mapped_column(String(64))
    """The cloud's own id; empty for what is not there."""
    finding: Mapped[str] = mapped_column(String(255))
    repair: Mapped[str] = mapped_column(String(16))
    """What `coffer reconcile --fix` does; empty: nothing."""
    first_seen: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    last_seen: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    looks: Mapped[int] = mapped_column(default=1)
    """How many looks have found it, one after the other."""
    approved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When somebody has asked for the repair, until a look does not find it any more."""
    error: Mapped[str] = mapped_column(Text, default="")
    """Why the last attempt to repair it came to nothing."""
