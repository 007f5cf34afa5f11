"""Writing reports into SQL: one statement for a batch, whatever the engine, which lets nothing old replace anything new.

The batch goes over as one JSON document, so that the statement's text is always the same and costs the same to make for one guest or a
thousand.  What is of no living instance meets no row in the join, and is not written.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    FromClause,
    String,
    Text,
    bindparam,
    cast,
    column,
    delete,
    func,
    literal_column,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from models import Database, GuestTelemetry, Instance
from models.base import Base, UtcDateTime
from models.telemetry import JUDGED
from telemetry import engines
from telemetry.reports import Report

MOMENT = "%Y-%m-%d %H:%M:%S.%f"
KEY = "instance_id"
TABLE = Base.metadata.tables[GuestTelemetry.__tablename__]
FIELDS = tuple(c.name for c in TABLE.columns if c.name not in JUDGED)
SAID = tuple(field.name for field in fields(Report) if field.name in FIELDS)
PLACE = ("epoch", "number")
LOOKED_AT = (KEY, *PLACE, "boot_id", "engine_deaths", "engine_state")
"""All that tells whether a report brings news; none of it is ever unknown."""
DOCUMENT = bindparam("document", type_=Text)
Source = tuple[FromClause | Any, Callable[[str], ColumnElement[Any]]]


@dataclass(frozen=True)
class Entry:
    """`received_at`: when it was posted.  `url_expires_at`: until when the guest can post at least."""

    report: Report
    received_at: datetime
    url_expires_at: datetime


def write(database: Database, entries: Sequence[Entry]) -> None:
    """At most one entry of each instance.  What they change for the instances' owners is settled in the same transaction."""
    if not entries:
        return
    rows = [_row(entry) for entry in sorted(entries, key=lambda one: one.report.instance_id)]
    with database.write() as s:
        dialect = s.get_bind().dialect.name
        watched = engines.lock(s, s.scalars(_news(dialect), _document({name: row[name] for name in LOOKED_AT} for row in rows)))
        s.execute(_statement(dialect), _document(rows))
        engines.settle(s, watched, [(entry.report, entry.received_at) for entry in entries])


def forget(s: Session, instance_id: str) -> None:
    """With its server goes what it said; the next one counts from the beginning."""
    s.execute(delete(GuestTelemetry).where(GuestTelemetry.instance_id == instance_id))


def forget_gone(database: Database) -> None:
    """What was written while its instance was being deleted."""
    gone = select(Instance.id).where(Instance.deleted_at.is_not(None))
    with database.write() as s:
        s.execute(delete(GuestTelemetry).where(GuestTelemetry.instance_id.in_(gone)))


def _row(entry: Entry) -> dict[str, Any]:
    """Only what is known: engines differ in what they take a JSON null for."""
    row = {name: getattr(entry.report, name) for name in SAID} | {
        "received_at": _moment(entry.received_at),
        "url_expires_at": _moment(entry.url_expires_at),
        "load_average": json.dumps(entry.report.load_average),
        "jobs": json.dumps(entry.report.jobs),
    }
    return {name: int(value) if isinstance(value, bool) else value for name, value in row.items() if value is not None}


def _document(rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    return {"document": json.dumps(list(rows), separators=(",", ":"))}


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime(MOMENT)


@cache
def _statement(dialect: str) -> Any:
    if dialect in ("mysql", "mariadb"):
        return _mariadb(*_source(dialect))
    insert = postgresql.insert(TABLE) if dialect == "postgresql" else sqlite.insert(TABLE)
    insert = insert.from_select(FIELDS, _chosen(*_source(dialect)))
    new = insert.excluded
    return insert.on_conflict_do_update(
        index_elements=[KEY],
        set_={name: new[name] for name in FIELDS if name != KEY},
        where=tuple_(*(TABLE.c[name] for name in PLACE)) < tuple_(*(new[name] for name in PLACE)),
    )


@cache
def _news(dialect: str) -> Any:
    """Ids of those whose reports differ from their rows in something that an owner is told of."""
    source, field = _source(dialect, LOOKED_AT)
    row = TABLE.c
    runs = field("engine_state") == engines.RUNNING
    differs = or_(
        row.boot_id != field("boot_id"),
        row.engine_deaths != field("engine_deaths"),
        row.engine_up.is_(None),
        row.engine_up.is_(True) & ~runs,
        row.engine_up.is_(False) & runs,
        row.silent_since.is_not(None),
    )
    newer = or_(row.epoch < field("epoch"), (row.epoch == field("epoch")) & (row.number < field("number")))
    return select(row.instance_id).select_from(source).where(row.instance_id == field(KEY), newer, differs)


def _source(dialect: str, names: Sequence[str] = FIELDS) -> Source:
    """The rows of the document, and their fields of these names."""
    match dialect:
        case "mysql" | "mariadb":
            return _mariadb_rows(names), lambda name: literal_column(f"r.{name}")
        case "postgresql":
            return _postgresql(names)
        case _:
            return _sqlite()


def _chosen(source: Any, field: Callable[[str], ColumnElement[Any]]) -> Any:
    known = (Instance.id == field(KEY)) & Instance.deleted_at.is_(None)
    return select(*(field(name).label(name) for name in FIELDS)).select_from(source).where(known)


def _postgresql(names: Sequence[str]) -> Source:
    types: dict[str, TypeEngine[Any]] = {c.name: Text() if isinstance(c.type, JSON) else c.type for c in TABLE.columns}
    document = func.jsonb_to_recordset(cast(DOCUMENT, postgresql.JSONB))
    rows = document.table_valued(*(column(name, types[name]) for name in names)).render_derived("r", with_types=True)
    return rows, lambda name: cast(rows.c[name], JSON) if isinstance(TABLE.c[name].type, JSON) else rows.c[name]


def _sqlite() -> Source:
    rows = func.json_each(DOCUMENT).table_valued("value", name="r")
    return rows, lambda name: func.json_extract(rows.c.value, f"$.{name}")


def _mariadb_rows(names: Sequence[str]) -> Any:
    columns = ", ".join(f"{name} {_mariadb_type(TABLE.c[name].type)} PATH '$.{name}'" for name in names)
    return text(f"JSON_TABLE(:document, '$[*]' COLUMNS ({columns})) AS r").bindparams(DOCUMENT)


def _mariadb(rows: Any, field: Callable[[str], ColumnElement[Any]]) -> Any:
    insert = mysql.insert(TABLE).from_select(FIELDS, _chosen(rows, field))
    new = insert.inserted
    epoch, number = (TABLE.c[name] for name in PLACE)
    newer = (new.epoch > epoch) | ((new.epoch == epoch) & (new.number > number))
    # Assignments are made from left to right and seen by those that follow: what the condition looks at comes last.
    last = ("number", "epoch")
    order = [name for name in FIELDS if name not in (KEY, *last)] + list(last)
    return insert.on_duplicate_key_update([(name, func.if_(newer, new[name], TABLE.c[name])) for name in order])


def _mariadb_type(type_: TypeEngine[Any]) -> str:
    match type_:
        case UtcDateTime():
            return "DATETIME(6)"
        case BigInteger():
            return "BIGINT"
        case Boolean():
            return "BOOLEAN"
        case JSON():
            return "LONGTEXT"
        case String():
            return f"VARCHAR({type_.length}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    raise TypeError(type_)
