"""What reports mean to an engine's owner: its deaths counted, and its coming and going told as events, in the transaction that writes the reports.

How it works.  Of a batch only the reports that differ from what their rows say are looked at here.  A death is told by the guest's count, so that
none is missed because the engine was back before anybody looked.  `engine_up` says what the owner knows: an event goes out exactly
when it changes, whoever reads the same report again.
The order of locks is an instance's row before its guest's, as everywhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models import GuestTelemetry, Instance, InstanceState
from models.base import rows_changed
from models.event_types import ENGINE_DOWN, ENGINE_UP, HEARD, SILENT
from models.outbox import Event, moment, record
from telemetry.reports import Report

RUNNING, BLOCKED = "running", "blocked"
FACTS = ("instance_id", "epoch", "number", "boot_id", "engine_deaths", "engine_up", "deaths", "silent_since")


@dataclass(frozen=True)
class Known:
    """A guest's row as it was before the report."""

    instance_id: str
    epoch: int
    number: int
    boot_id: str
    engine_deaths: int
    engine_up: bool | None
    deaths: int
    silent_since: datetime | None


@dataclass(frozen=True)
class Verdict:
    """`died`: how often since the row was written.  `told`: types of events."""

    up: bool | None
    died: int = 0
    told: tuple[str, ...] = ()


def judge(known: Known, report: Report, *, building: bool, held: bool) -> Verdict:
    """`building`: its create tells of it in the end.  `held`: an operation runs on it, which may stop the engine."""
    if building:
        return Verdict(None)
    died = max(0, report.engine_deaths - (known.engine_deaths if known.boot_id == report.boot_id else 0))
    runs = report.engine_state == RUNNING
    if known.engine_up is not False and not died and not _is_away(known, report, held):
        return Verdict(True if runs else known.engine_up)
    down = () if known.engine_up is False else (ENGINE_DOWN,)
    return Verdict(runs, died, (*down, ENGINE_UP) if runs else down)


def _is_away(known: Known, report: Report, held: bool) -> bool:
    """Without a death that was counted: it hangs, or a guest that counts none says that it is not there though it should be."""
    if held or report.engine_state == RUNNING:
        return False
    return report.engine_state == BLOCKED or (known.engine_up is True and report.engine_wanted)


@dataclass(frozen=True)
class Watched:
    """Instances whose reports bring news, locked, and what is known of each of them."""

    instances: Mapping[str, Instance]
    known: Mapping[str, Known]


def lock(s: Session, instance_ids: Iterable[str]) -> Watched:
    ids = sorted(instance_ids)
    if not ids:
        return Watched({}, {})
    living = select(Instance).where(Instance.id.in_(ids), Instance.deleted_at.is_(None)).order_by(Instance.id).with_for_update()
    instances = {instance.id: instance for instance in s.scalars(living)}
    columns = (getattr(GuestTelemetry, name) for name in FACTS)
    theirs = select(*columns).where(GuestTelemetry.instance_id.in_(instances)).order_by(GuestTelemetry.instance_id)
    return Watched(instances, {row.instance_id: Known(*row) for row in s.execute(theirs.with_for_update())})


def settle(s: Session, watched: Watched, reports: Sequence[tuple[Report, datetime]]) -> None:
    """After the reports have been written: what each of them changes, and whom that is told to."""
    for report, at in reports:
        known = watched.known.get(report.instance_id)
        if known and report.place > (known.epoch, known.number):
            _settle_one(s, watched.instances[known.instance_id], known, report, at)


def _settle_one(s: Session, instance: Instance, known: Known, report: Report, at: datetime) -> None:
    held = instance.operation_id is not None or instance.delete_operation_id is not None
    verdict = judge(known, report, building=instance.state == InstanceState.BUILDING, held=held)
    deaths = known.deaths + verdict.died
    changes: dict[str, Any] = {"engine_up": verdict.up, "deaths": deaths, "silent_since": None}
    row = update(GuestTelemetry).where(GuestTelemetry.instance_id == instance.id)
    s.execute(row.values(changes | ({"died_at": at} if verdict.died else {})), execution_options={"synchronize_session": False})
    heard = [Event(HEARD, {"since": moment(known.silent_since)})] if known.silent_since else []
    states = {ENGINE_UP: RUNNING, ENGINE_DOWN: BLOCKED if report.engine_state == BLOCKED else "stopped"}
    record(s, instance, [*heard, *(Event(type, {"state": states[type], "deaths": deaths}) for type in verdict.told)])


def tell_silence(s: Session, instance_id: str, before: datetime) -> bool:
    """That nothing has been heard of the guest since `before`, and that it does not answer either; once.  Whether it was news."""
    instance = s.scalars(
        select(Instance).where(Instance.id == instance_id, Instance.deleted_at.is_(None)).with_for_update()
    ).first()
    row = GuestTelemetry.instance_id == instance_id
    silent = update(GuestTelemetry).where(row, GuestTelemetry.silent_since.is_(None), GuestTelemetry.received_at < before)
    told = silent.values(silent_since=GuestTelemetry.received_at)
    if instance is None or not rows_changed(s, told.execution_options(synchronize_session=False)):
        return False
    since = s.scalars(select(GuestTelemetry.received_at).where(row)).one()
    record(s, instance, [Event(SILENT, {"since": moment(since)})])
    return True


def begun(s: Session, instance_id: str) -> None:
    """We have (re)started the engine and it answered: reports from before that say nothing of it any more."""
    up = update(GuestTelemetry).where(GuestTelemetry.instance_id == instance_id, GuestTelemetry.engine_up.is_(True))
    s.execute(up.values(engine_up=None), execution_options={"synchronize_session": False})
