"""What each guest has said of itself last; written by telemetry/records.py, gone with its instance."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, UtcDateTime


class GuestTelemetry(Base):
    """The newest report of one guest: (`epoch`, `number`) only grows.  NULL: the guest did not know."""

    __tablename__ = "guest_telemetry"

    instance_id: Mapped[str] = mapped_column(
        String(36), ForeignKey("instances.id", name="fk_guest_telemetry_instance_id", ondelete="CASCADE"), primary_key=True
    )
    epoch: Mapped[int] = mapped_column(BigInteger)
    """Starts of the agent, counted on the guest's disk."""
    number: Mapped[int] = mapped_column(BigInteger)
    """Reports since that start."""
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """When the report was posted, by our clock."""
    engine_state: Mapped[str] = mapped_column(String(16))
    """running, stopped, blocked or none"""
    engine_wanted: Mapped[bool]
    """Whether it is meant to run."""
    engine_version: Mapped[str | None] = mapped_column(String(64))
    engine_deaths: Mapped[int] = mapped_column(BigInteger)
    """How often it died unasked since the server booted."""
    volume_total: Mapped[int | None] = mapped_column(BigInteger)
    """Bytes, like `volume_used`."""
    volume_used: Mapped[int | None] = mapped_column(BigInteger)
    load_average: Mapped[list[float]] = mapped_column(JSON)
    """Over 1, 5 and 15 minutes."""
    root_enabled: Mapped[bool | None]
    agent_version: Mapped[str] = mapped_column(String(64))
    boot_id: Mapped[str] = mapped_column(String(64))
    generation: Mapped[int] = mapped_column(BigInteger)
    jobs: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    """As in docs/developer/telemetry.md."""
    url_expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    """Until then at least the guest's URL is valid."""

    engine_up: Mapped[bool | None]
    """What its owner knows of the engine.  NULL: it has not been heard to run since we began it, so our own word for it counts."""
    deaths: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """How often it died unasked since the instance was created, whatever boots there were."""
    died_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the last death was reported."""
    silent_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Set while its owner has been told that nothing is heard of the guest."""


JUDGED = ("engine_up", "deaths", "died_at", "silent_since")
"""What is no word of the guest's but what was made of them: telemetry/engines.py."""
