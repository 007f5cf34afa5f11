"""What the one statement of a batch writes, and what it leaves, on every engine."""

from datetime import UTC, datetime, timedelta

from models import Database, Instance
from models.base import new_id
from telemetry import records
from telemetry.records import Entry
from telemetry.reports import parse
from tests.telemetry.reporting import engine, instances, job, report, rows, text

NOW = datetime(2026, 11, 21, 1, 2, 3, 456789, tzinfo=UTC)
A, B, C = (new_id() for _ in range(3))


def entry(instance_id: str, number: int = 1, epoch: int = 1, after: float = 0.0, **changes: object) -> Entry:
    parsed = parse(instance_id, text(report(instance_id, number, epoch, **changes)))
    at = NOW + timedelta(seconds=after)
    return Entry(parsed, at, at + timedelta(minutes=30))


def test_everything_comes_back_as_it_was_said(database: Database) -> None:
    instances(database, A, B)
    unknown = {"volume": None, "root_enabled": None, "engine": engine("blocked", wanted=False)}
    said = {"root_enabled": True, "jobs": [job("x-prepare", "in_progress")], "boot_id": "b'\"\\:é%s"}
    records.write(database, [entry(A, **said), entry(B, 2**63 - 1, 2**63 - 1, **unknown)])
    a, b = (rows(database)[id] for id in (A, B))
    assert (a.epoch, a.number, a.received_at, a.url_expires_at) == (1, 1, NOW, NOW + timedelta(minutes=30))
    assert (a.engine_state, a.engine_wanted, a.engine_version, a.engine_deaths) == ("running", True, "10.11.6", 0)
    assert (a.volume_total, a.volume_used, a.load_average) == (1020702720, 184549376, [0.1, 0.2, 0.1])
    assert (a.root_enabled, a.agent_version, a.boot_id, a.generation) == (True, "0.1.0", "b'\"\\:é%s", 3)
    assert a.jobs == [job("x-prepare", "in_progress")]
    assert (b.epoch, b.number, b.engine_state, b.engine_wanted, b.engine_version) == (
        2**63 - 1,
        2**63 - 1,
        "blocked",
        False,
        None,
    )
    assert (b.volume_total, b.volume_used, b.root_enabled, b.jobs) == (None, None, None, [])


def test_only_what_is_newer_replaces(database: Database) -> None:
    instances(database, A, B, C)
    records.write(database, [entry(A, 5, 2), entry(B, 5, 2), entry(C, 5, 2)])
    later = {"after": 60.0, "engine": engine("stopped")}
    records.write(database, [entry(A, 6, 2, **later), entry(B, 5, 2, **later), entry(C, 9, 1, **later)])
    found = rows(database)
    assert [(found[id].epoch, found[id].number, found[id].engine_state) for id in (A, B, C)] == [
        (2, 6, "stopped"),
        (2, 5, "running"),
        (2, 5, "running"),
    ]
    assert [found[id].received_at == NOW for id in (A, B, C)] == [False, True, True]
    records.write(database, [entry(A, 1, 3, **later)])
    assert (rows(database)[A].epoch, rows(database)[A].number) == (3, 1)


def test_what_is_of_no_living_instance_is_left_out(database: Database) -> None:
    instances(database, A, B)
    with database.write() as s:
        s.get_one(Instance, B).deleted_at = NOW
    records.write(database, [entry(A), entry(B), entry(C)])
    assert set(rows(database)) == {A}


def test_a_batch_of_a_thousand_is_one_statement(database: Database) -> None:
    ids = [new_id() for _ in range(1000)]
    instances(database, *ids)
    records.write(database, [entry(id) for id in ids])
    records.write(database, [entry(id, 2) for id in ids])
    assert [row.number for row in rows(database).values()] == [2] * 1000


def test_what_is_gone_is_forgotten(database: Database) -> None:
    instances(database, A, B, C)
    records.write(database, [entry(A), entry(B), entry(C)])
    with database.write() as s:
        records.forget(s, A)
        s.get_one(Instance, B).deleted_at = NOW
    records.forget_gone(database)
    assert set(rows(database)) == {C}
