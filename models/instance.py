"""A database instance: what is asked for, what exists, and who may change it now."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Enum, ForeignKey, Index, String, Text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, UtcDateTime, new_id, rows_changed, utcnow


class InstanceState(enum.StrEnum):
    """The lasting truth about an instance.  What the API calls status is computed from it and the running operation (api/views.py)."""

    BUILDING = "BUILDING"
    READY = "READY"
    ERROR = "ERROR"
    DELETED = "DELETED"


class Busy(Exception):
    """Another operation holds the instance."""


class Instance(Base):
    __tablename__ = "instances"
    __table_args__ = (Index("ix_instances_project_created", "project_id", "deleted_at", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(255))
    state: Mapped[InstanceState] = mapped_column(
        Enum(InstanceState, native_enum=False, length=16), default=InstanceState.BUILDING
    )
    flavor_id: Mapped[str] = mapped_column(String(64))
    volume_size: Mapped[int]
    volume_type: Mapped[str | None] = mapped_column(String(255))
    access: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """{"is_public", "allowed_cidrs"} as asked for; NULL: nothing was."""
    locality: Mapped[str | None] = mapped_column(String(32))
    datastore_version_id: Mapped[str] = mapped_column(ForeignKey("datastore_versions.id"))
    addresses: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    """[{"address", "type": "private" | "public", "network"}] as shown to the tenant."""
    hostname: Mapped[str | None] = mapped_column(String(255))
    """What leads to the first public one of them, else to the first; NULL: no name does."""

    server_key: Mapped[str | None] = mapped_column(String(128))
    """Key of the server that carries the data; NULL while there is none."""
    management_address: Mapped[str | None] = mapped_column(String(64))
    management_port: Mapped[int | None]
    channel_key_ref: Mapped[str | None] = mapped_column(String(36))
    """Secret: the control plane's private key for this guest."""
    channel_host_key: Mapped[str | None] = mapped_column(String(255))
    """The one public host key that this guest may present."""

    operation_id: Mapped[str | None] = mapped_column(String(36))
    """Who may change it now; NULL = free."""
    delete_operation_id: Mapped[str | None] = mapped_column(String(36))
    """Set once and for all by the first DELETE; from then on no other operation begins."""
    generation: Mapped[int] = mapped_column(default=0)
    """Raised with every operation; a guest refuses what comes from a lower one."""
    quota_held: Mapped[bool] = mapped_column(default=True)
    """Whether this row still counts in the project's usage: given back exactly once."""

    fault_message: Mapped[str | None] = mapped_column(String(255))
    fault_details: Mapped[str | None] = mapped_column(Text)
    fault_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    root_enabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    root_enabled_by: Mapped[str | None] = mapped_column(String(64))

    event_sequence: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """Number of its newest event; drawing the next one locks the row."""
    exists_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """End of the last period that a notification of its existence was written for."""

    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow, onupdate=utcnow)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @classmethod
    def reserve(cls, s: Session, instance_id: str, operation_id: str) -> int:
        """Give the instance to one operation and raise its generation, or raise Busy.  Gives the new generation."""
        free = update(cls).where(
            cls.id == instance_id, cls.operation_id.is_(None), cls.delete_operation_id.is_(None), cls.deleted_at.is_(None)
        )
        if not rows_changed(s, free.values(operation_id=operation_id, generation=cls.generation + 1)):
            raise Busy(instance_id)
        return s.get_one(cls, instance_id, populate_existing=True).generation

    @classmethod
    def reserve_for_delete(cls, s: Session, instance_id: str, operation_id: str) -> int:
        """Claim the instance for its one deletion, whoever holds it, or raise Busy when a deletion has been claimed before."""
        mine = update(cls).where(cls.id == instance_id, cls.delete_operation_id.is_(None), cls.deleted_at.is_(None))
        if not rows_changed(s, mine.values(delete_operation_id=operation_id, generation=cls.generation + 1)):
            raise Busy(instance_id)
        return s.get_one(cls, instance_id, populate_existing=True).generation
