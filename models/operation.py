"""One row per requested operation: outbox, lock holder and audit trail in one; its steps as the worker runs them."""

import enum
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Enum, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UtcDateTime, new_id, utcnow


class OperationState(enum.StrEnum):
    PENDING = "PENDING"
    """Committed, its workflow not known to be started."""
    STARTED = "STARTED"
    RUNNING = "RUNNING"
    """Claimed by its workflow."""
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @classmethod
    def open(cls) -> tuple["OperationState", ...]:
        return cls.PENDING, cls.STARTED, cls.RUNNING


class OperationRow(Base):
    __tablename__ = "operations"
    __table_args__ = (
        Index("ix_operations_state_created", "state", "created_at"),
        Index("ix_operations_project_created", "project_id", "created_at", "id"),
        Index("ix_operations_instance", "instance_id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    kind: Mapped[str] = mapped_column(String(64))
    workflow_id: Mapped[str] = mapped_column(String(128))
    instance_id: Mapped[str] = mapped_column(String(36))
    project_id: Mapped[str] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(64), default="")
    request_id: Mapped[str] = mapped_column(String(64), default="")
    state: Mapped[OperationState] = mapped_column(
        Enum(OperationState, native_enum=False, length=16), default=OperationState.PENDING
    )
    input: Mapped[dict[str, Any]] = mapped_column(JSON)
    retry_of: Mapped[str | None] = mapped_column(String(36))
    cancel_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    error_type: Mapped[str] = mapped_column(String(64), default="")
    error_message: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class StepState(enum.StrEnum):
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    """Its last attempt failed; Temporal will try again."""
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    """Broken off because the operation was."""


class OperationStep(Base):
    """A step as the worker saw it: one row per activity of the operation, attempts counted.  Written around the activity, never by it."""

    __tablename__ = "operation_steps"

    operation_id: Mapped[str] = mapped_column(ForeignKey("operations.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The activity's id in its run: a number for a step, `undo-<number>` for the step that takes it back."""
    name: Mapped[str] = mapped_column(String(64))
    state: Mapped[StepState] = mapped_column(Enum(StepState, native_enum=False, length=16), default=StepState.RUNNING)
    attempts: Mapped[int] = mapped_column(default=1)
    progress: Mapped[str] = mapped_column(String(255), default="")
    """What a long step is at, in words: `start, 3 of 7`."""
    error: Mapped[str] = mapped_column(Text, default="")
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utcnow)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
