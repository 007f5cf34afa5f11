"""What a project may use and uses.  Counting is one conditional UPDATE, so that no race can pass a limit."""

from collections.abc import Mapping

from sqlalchemy import String, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, rows_changed
from models.datastore import FlavorRow

UNLIMITED = -1


class QuotaExceeded(Exception):
    """`resources`: the names that would go over."""

    def __init__(self, resources: list[str]) -> None:
        super().__init__(f"Quota exceeded for resources: {resources}.")
        self.resources = resources


class QuotaLimit(Base):
    """A project's own limit; without a row the configured default holds."""

    __tablename__ = "quota_limits"

    project_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    resource: Mapped[str] = mapped_column(String(32), primary_key=True)
    hard_limit: Mapped[int]


class QuotaUsage(Base):
    __tablename__ = "quota_usages"

    project_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    resource: Mapped[str] = mapped_column(String(32), primary_key=True)
    in_use: Mapped[int] = mapped_column(default=0)


def held_by_instance(volume_gb: int, flavor: FlavorRow | None) -> dict[str, int]:
    """What one instance counts for, when it is reserved and when it is given back."""
    return {"instances": 1, "volumes": volume_gb, "ram": flavor.ram_mb if flavor else 0}


def limits_of(s: Session, project_id: str, defaults: Mapping[str, int]) -> dict[str, int]:
    own = s.scalars(select(QuotaLimit).where(QuotaLimit.project_id == project_id))
    return {**defaults, **{row.resource: row.hard_limit for row in own}}


def reserve(s: Session, project_id: str, wanted: Mapping[str, int], limits: Mapping[str, int]) -> None:
    """Count `wanted` as used, all or (by the caller's rollback) nothing.  Raises QuotaExceeded."""
    used = _usage(s, project_id)
    limited = {resource: limits[resource] for resource in wanted if limits.get(resource, UNLIMITED) != UNLIMITED}
    # A hopeless request is refused before it takes a lock; which of the hopeful ones fit is decided by the UPDATE alone.
    over = [resource for resource in sorted(limited) if used.get(resource, 0) + wanted[resource] > limited[resource]]
    if over:
        raise QuotaExceeded(over)
    for resource in sorted(wanted):
        if resource not in used:
            _make_usage_row(s, project_id, resource)
        mine = update(QuotaUsage).where(QuotaUsage.project_id == project_id, QuotaUsage.resource == resource)
        if resource in limited:
            mine = mine.where(QuotaUsage.in_use + wanted[resource] <= limited[resource])
        if not rows_changed(s, mine.values(in_use=QuotaUsage.in_use + wanted[resource])):
            over.append(resource)
    if over:
        raise QuotaExceeded(over)


def release(s: Session, project_id: str, amounts: Mapping[str, int]) -> None:
    """Give back what a row held.  The caller guards against doing it twice (Instance.quota_held)."""
    for resource in sorted(amounts):
        mine = update(QuotaUsage).where(QuotaUsage.project_id == project_id, QuotaUsage.resource == resource)
        s.execute(mine.values(in_use=QuotaUsage.in_use - amounts[resource]))


def _usage(s: Session, project_id: str) -> dict[str, int]:
    rows = s.execute(select(QuotaUsage.resource, QuotaUsage.in_use).where(QuotaUsage.project_id == project_id))
    return {row.resource: row.in_use for row in rows}


def _make_usage_row(s: Session, project_id: str, resource: str) -> None:
    """Of all requests that find the row missing one makes it; the others wait until that one has ended."""
    row = {"project_id": project_id, "resource": resource, "in_use": 0}
    dialect = s.get_bind().dialect.name
    if dialect in ("mysql", "mariadb"):
        # A plain INSERT that meets a duplicate keeps a shared lock, and two of those deadlock at the UPDATE that follows.
        # This one takes the exclusive lock at once.
        s.execute(mysql.insert(QuotaUsage).values(row).on_duplicate_key_update(in_use=QuotaUsage.in_use))
    else:
        insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
        s.execute(insert(QuotaUsage).values(row).on_conflict_do_nothing())
