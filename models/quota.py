"""What a project may use and uses.  Counting is one conditional UPDATE, so that no race can pass a limit."""

from collections.abc import Mapping

from sqlalchemy import String, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base, rows_changed

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


def limits_of(s: Session, project_id: str, defaults: Mapping[str, int]) -> dict[str, int]:
    own = s.scalars(select(QuotaLimit).where(QuotaLimit.project_id == project_id))
    return {**defaults, **{row.resource: row.hard_limit for row in own}}


def reserve(s: Session, project_id: str, wanted: Mapping[str, int], limits: Mapping[str, int]) -> None:
    """Count `wanted` as used, all or (by the caller's rollback) nothing.  Raises QuotaExceeded."""
    over = []
    for resource in sorted(wanted):
        _usage_row(s, project_id, resource)
        mine = update(QuotaUsage).where(QuotaUsage.project_id == project_id, QuotaUsage.resource == resource)
        limit = limits.get(resource, UNLIMITED)
        if limit != UNLIMITED:
            mine = mine.where(QuotaUsage.in_use + wanted[resource] <= limit)
        if not rows_changed(s, mine.values(in_use=QuotaUsage.in_use + wanted[resource])):
            over.append(resource)
    if over:
        raise QuotaExceeded(over)


def release(s: Session, project_id: str, amounts: Mapping[str, int]) -> None:
    """Give back what a row held.  The caller guards against doing it twice (Instance.quota_held)."""
    for resource in sorted(amounts):
        mine = update(QuotaUsage).where(QuotaUsage.project_id == project_id, QuotaUsage.resource == resource)
        s.execute(mine.values(in_use=QuotaUsage.in_use - amounts[resource]))


def _usage_row(s: Session, project_id: str, resource: str) -> None:
    if s.get(QuotaUsage, (project_id, resource)) is not None:
        return
    try:
        with s.begin_nested():
            s.add(QuotaUsage(project_id=project_id, resource=resource, in_use=0))
    except IntegrityError:  # another request made it first: just what we need
        s.expire_all()
