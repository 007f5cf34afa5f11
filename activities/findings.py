"""Findings in SQL: what the rows know of a look's things, since when a difference is found, and what has been approved to be mended."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from activities.drift import Finding, Held, Kind, Known, Maker, Source, Thing, compare, key_of, operation_of, sources
from clouds.ports import Cloud, WantGroup, WantRecord
from models import Database, DriftFinding, Instance, InstanceState, OperationRow, OperationState
from models.base import utcnow
from workflows.contracts import NAME, SERVER, let_in, reached_at

AT_A_TIME = 500
AWAY = "ServerAway"
"""How the details of a fault begin that was noted because of a server."""


@dataclass(frozen=True)
class Seen:
    """A finding with what earlier looks have written down of it."""

    found: Finding
    row: DriftFinding

    def is_confirmed(self, grace: timedelta) -> bool:
        """Whether two looks that lie so far apart, and all between them, have found it."""
        return self.row.looks > 1 and self.row.last_seen - self.row.first_seen >= grace


@dataclass(frozen=True)
class Look:
    """What one look has found, what the cloud held, and what the rows said."""

    found: Sequence[Finding]
    held: Held
    rows: Mapping[str, Known]


def look(database: Database, cloud: Cloud) -> Look:
    """Raises CloudError.  An instance that changes meanwhile is left out: the next look sees it settled."""
    before = known(database)
    things = {source.thing: source.all() for source in sources(cloud, _senders(database))}
    makers = _makers(database, {operation_of(key_of(one)) for held in things.values() for one in held})
    held = Held(things, makers, wanted=_wanted(database, things["security group"]), names=_named(database))
    rules = cloud.rules.wrong(lambda port: held.maker(port) is not None, held.wanted)
    held = replace(held, rules=rules)
    after = known(database)
    moving = {id for id in before.keys() | after.keys() if before.get(id) != after.get(id)}
    return Look([found for found in compare(held, after) if found.instance not in moving], held, after)


def known(database: Database, *, with_server: bool = False) -> dict[str, Known]:
    """What the rows say of every instance that was ever asked for, or of those that have a server."""
    columns = (
        *(Instance.id, Instance.state, Instance.server_key, Instance.generation, Instance.operation_id),
        Instance.delete_operation_id,
    )
    wanted = select(*columns)
    if with_server:
        wanted = wanted.where(Instance.deleted_at.is_(None), Instance.server_key.is_not(None))
    with database.read() as s:
        rows = s.execute(wanted).all()
        is_open = set(s.scalars(select(OperationRow.id).where(OperationRow.state.in_(OperationState.open()))))
    found = {}
    for id, state, server_key, generation, holder, deletion in rows:
        holders = [one for one in (holder, deletion) if one] if state is not InstanceState.DELETED else []
        held = bool(holders) and not is_open.intersection(holders)
        found[id] = Known(state, server_key, bool(holders), generation, held)
    return found


def _senders(database: Database) -> list[str]:
    with database.read() as s:
        mine = select(OperationRow.project_id).where(OperationRow.kind == "GuestObjectCheck")
        return sorted(s.scalars(mine.distinct()))


def _makers(database: Database, ids: set[str]) -> dict[str, Maker]:
    columns = OperationRow.id, OperationRow.instance_id, OperationRow.state
    wanted, found = sorted(ids - {""}), {}
    with database.read() as s:
        for start in range(0, len(wanted), AT_A_TIME):
            some = select(*columns).where(OperationRow.id.in_(wanted[start : start + AT_A_TIME]))
            for id, instance_id, state in s.execute(some):
                found[id] = Maker(instance_id, state in OperationState.open())
    return found


def _wanted(database: Database, groups: Iterable[Thing]) -> list[WantGroup]:
    """Whom each of the groups is to let in: as its instance's row says, else as it was created."""
    made_by = {operation_of(key_of(group)): group for group in groups}
    columns = OperationRow.id, OperationRow.instance_id, OperationRow.input, Instance.access
    found = []
    with database.read() as s:
        some = select(*columns).join(Instance, Instance.id == OperationRow.instance_id).where(OperationRow.id.in_(list(made_by)))
        for id, instance_id, job, access in s.execute(some):
            network = job.get("network")
            if network and instance_id == made_by[id].owner:
                cidrs = network["allowed_cidrs"] if access is None else let_in(access)
                found.append(WantGroup(key_of(made_by[id]), instance_id, network["port"], tuple(cidrs)))
    return found


def _named(database: Database) -> list[WantRecord]:
    """What is to lead to each of the instances that have a name."""
    columns = Instance.id, Instance.server_key, Instance.hostname, Instance.addresses
    some = select(*columns).where(Instance.deleted_at.is_(None), Instance.server_key.is_not(None), Instance.hostname.is_not(None))
    with database.read() as s:
        return [
            WantRecord(str(server_key).removesuffix(SERVER) + NAME, id, str(hostname), reached_at(addresses))
            for id, server_key, hostname, addresses in s.execute(some)
        ]


def write(
    database: Database,
    found: Sequence[Finding],
    *,
    thing: str = "",
    kinds: Collection[Kind] = tuple(Kind),
    now: datetime | None = None,
) -> list[Seen]:
    """Keep what a look has found, and forget what it has not.  `thing`, `kinds`: what it looked for; empty: everything."""
    for _ in range(2):
        try:
            with database.write() as s:
                return _write(s, found, thing, kinds, now or utcnow())
        except IntegrityError:
            # Another look has just written the same for the first time: now it is there.
            continue
    raise RuntimeError("two looks went on writing the same findings")


def _write(s: Session, found: Sequence[Finding], thing: str, kinds: Collection[Kind], now: datetime) -> list[Seen]:
    mine = select(DriftFinding).where(DriftFinding.kind.in_([kind.value for kind in kinds]))
    if thing:
        mine = mine.where(DriftFinding.thing == thing)
    there = {row.id: row for row in s.scalars(mine.with_for_update())}
    seen = []
    for one in found:
        row = there.pop(one.row_id, None)
        if row is None:
            row = _row(one, now)
            s.add(row)
        else:
            row.looks, row.last_seen, row.repair = row.looks + 1, now, one.repair
        seen.append(Seen(one, row))
    s.execute(delete(DriftFinding).where(DriftFinding.id.in_(list(there))))
    return seen


def approve(database: Database, ids: Iterable[str]) -> None:
    """From here on each is mended, by whoever comes first, for as long as it is found."""
    with database.write() as s:
        mine = update(DriftFinding).where(DriftFinding.id.in_(list(ids)))
        s.execute(mine.values(approved_at=utcnow(), error=""))


def mended(database: Database, id: str, error: str = "") -> None:
    """`error`: it could not be done, and is tried again by the next look that finds it."""
    mine = DriftFinding.id == id
    with database.write() as s:
        s.execute(update(DriftFinding).where(mine).values(error=error) if error else delete(DriftFinding).where(mine))


def listed(database: Database) -> list[DriftFinding]:
    order = DriftFinding.instance_id, DriftFinding.thing, DriftFinding.finding
    with database.read() as s:
        return list(s.scalars(select(DriftFinding).order_by(*order)))


def source_of(cloud: Cloud, thing: str) -> Source:
    return next(source for source in sources(cloud) if source.thing == thing)


def _row(one: Finding, now: datetime) -> DriftFinding:
    return DriftFinding(
        id=one.row_id,
        kind=one.kind.value,
        thing=one.thing,
        instance_id=one.instance[:255],
        key=one.key[:255],
        resource_id=one.id[:64],
        finding=one.finding[:255],
        repair=one.repair.value,
        first_seen=now,
        last_seen=now,
        looks=1,
        error="",
    )
