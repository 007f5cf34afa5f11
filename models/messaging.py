"""Storage pools, their flavors, and which queue is placed where."""

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, String, UniqueConstraint, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base


class PoolRow(Base):
    __tablename__ = "messaging_pools"
    __table_args__ = (
        UniqueConstraint("uri_digest", name="uq_messaging_pools_uri_digest"),
        UniqueConstraint("store_id", name="uq_messaging_pools_store_id"),
    )

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    uri_sealed: Mapped[bytes] = mapped_column(LargeBinary)
    uri_digest: Mapped[str] = mapped_column(String(64))
    """HMAC of the URI, so that uniqueness needs no plain text."""
    store_id: Mapped[str] = mapped_column(String(64))
    """What the store calls itself: two URIs of one store are still one pool."""
    scheme: Mapped[str] = mapped_column(String(32))
    weight: Mapped[int] = mapped_column(BigInteger)
    options: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    flavor: Mapped[str | None] = mapped_column(String(255), index=True)
    """Name of a flavor that need not exist (yet).  Never the empty string."""
    generation: Mapped[int] = mapped_column(BigInteger)
    """Changes with the URI, so that whoever holds a connection opens a new one."""


class MessagingFlavorRow(Base):
    """Its pools are those whose `flavor` names it; its capabilities are theirs."""

    __tablename__ = "messaging_flavors"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)


class CatalogueRow(Base):
    """Where a queue is, and what is known of it.  Its metadata is here and not in the pool's store: lists of queues then need no store,
    and a new flavor and the move that it means begin in one transaction."""

    __tablename__ = "messaging_queues"
    __table_args__ = (Index("ix_messaging_queues_pool", "pool"), Index("ix_messaging_queues_target", "target"))

    project: Mapped[str] = mapped_column(String(256), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    pool: Mapped[str] = mapped_column(String(64), ForeignKey("messaging_pools.name", name="fk_messaging_queues_pool"))
    state: Mapped[str] = mapped_column(String(16))
    """open, moving (to `target`) or deleting"""
    target: Mapped[str | None] = mapped_column(String(64), ForeignKey("messaging_pools.name", name="fk_messaging_queues_target"))
    target_generation: Mapped[int | None] = mapped_column(BigInteger)
    generation: Mapped[int] = mapped_column(BigInteger)
    """Of the placement; the store refuses calls made for another one."""
    attributes: Mapped[dict[str, Any]] = mapped_column("metadata", JSON, default=dict)
    version: Mapped[int] = mapped_column(BigInteger, default=0)
    """Of the metadata, for a compare-and-set."""


class MessagingCounter(Base):
    """`generation`: a number never given twice.  Taking it locks the row, so those who change pools and flavors take turns."""

    __tablename__ = "messaging_counters"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)

    @classmethod
    def take(cls, s: Session, name: str = "generation") -> int:
        """The next number; nobody else gets one before the transaction has ended."""
        s.execute(update(cls).where(cls.name == name).values(value=cls.value + 1))
        return s.get_one(cls, name, populate_existing=True).value
