"""What an engine's owner is told of it, on SQL of every engine."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from models import Database, EventSubscription, GuestTelemetry, Instance, InstanceState, OutboxRow
from models.base import new_id
from telemetry import engines, records
from tests.telemetry.reporting import engine, instances, rows
from tests.telemetry.test_records import NOW, entry

DOWN, UP, SILENT, HEARD = "instance.engine_down", "instance.engine_up", "instance.silent", "instance.heard"


class Owner:
    """Of one instance, which has been heard to run; and of another that nothing happens to."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.id, other = new_id(), new_id()
        instances(database, self.id, other)
        with database.write() as s:
            s.add(EventSubscription(project_id="project", queue="news", ttl=3600, types=["instance.*"]))
        self.number = 0
        records.write(database, [entry(other)])
        self.report(says("running"))
        self.report(says("running"))
        assert self.told() == []

    def report(self, said: dict[str, Any], **changes: Any) -> None:
        self.number += 1
        records.write(self.database, [entry(self.id, self.number, after=float(self.number), engine=said, **changes)])

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """Since the last call."""
        with self.database.write() as s:
            found = s.scalars(select(OutboxRow).order_by(OutboxRow.id)).all()
            for row in found:
                s.delete(row)
            return [(row.body["type"], row.body["payload"]) for row in found]

    def types(self) -> Sequence[str]:
        return [type for type, _ in self.told()]

    def row(self) -> GuestTelemetry:
        return rows(self.database)[self.id]

    @contextmanager
    def changed(self) -> Iterator[Instance]:
        with self.database.write() as s:
            yield s.get_one(Instance, self.id)


def says(state: str, deaths: int = 0, **more: Any) -> dict[str, Any]:
    return engine(state) | {"deaths": deaths} | more


@pytest.fixture
def owner(database: Database) -> Owner:
    return Owner(database)


def test_a_death_and_the_recovery_are_told_once_each(owner: Owner) -> None:
    owner.report(says("stopped", 1))
    assert owner.told() == [(DOWN, {"state": "stopped", "deaths": 1})]
    owner.report(says("stopped", 2))
    owner.report(says("running", 2))
    assert owner.told() == [(UP, {"state": "running", "deaths": 2})]
    assert (owner.row().deaths, owner.row().died_at) == (2, NOW + timedelta(seconds=owner.number - 1))
    owner.report(says("running", 2))
    assert owner.told() == []


def test_a_death_that_nobody_saw_is_told_by_its_count(owner: Owner) -> None:
    owner.report(says("running", 1))
    assert owner.types() == [DOWN, UP]
    assert (owner.row().deaths, owner.row().died_at) == (1, NOW + timedelta(seconds=owner.number))


def test_what_is_told_twice_is_heard_once(owner: Owner) -> None:
    owner.report(says("stopped", 1))
    owner.number -= 1
    owner.report(says("stopped", 1))
    assert owner.types() == [DOWN]
    assert owner.row().deaths == 1


def test_deaths_are_counted_over_boots(owner: Owner) -> None:
    owner.report(says("running", 2))
    owner.report(says("running", 0), boot_id="next")
    owner.report(says("running", 1), boot_id="next")
    assert owner.types() == [DOWN, UP, DOWN, UP]
    assert owner.row().deaths == 3


def test_an_engine_that_hangs_is_down(owner: Owner) -> None:
    owner.report(says("blocked"))
    assert owner.told() == [(DOWN, {"state": "blocked", "deaths": 0})]
    owner.report(says("blocked"))
    owner.report(says("running"))
    assert owner.types() == [UP]


def test_an_engine_that_is_stopped_on_purpose_is_not_told_of(owner: Owner) -> None:
    owner.report(says("stopped", wanted=False))
    owner.report(says("running"))
    assert owner.types() == []


def test_a_guest_that_counts_no_deaths_is_heard_all_the_same(owner: Owner) -> None:
    owner.report(says("stopped"))
    owner.report(says("running"))
    assert owner.types() == [DOWN, UP]


def test_a_restart_that_was_asked_for_is_not_told_of(owner: Owner) -> None:
    with owner.changed() as instance:
        instance.operation_id = "restart"
    owner.report(says("stopped"))
    owner.report(says("blocked"))
    with owner.changed() as instance:
        instance.operation_id = None
    with owner.database.write() as s:
        engines.begun(s, owner.id)
    owner.report(says("stopped"))
    owner.report(says("running"))
    assert owner.types() == []
    owner.report(says("stopped", 1))
    assert owner.types() == [DOWN]


def test_a_death_in_an_operation_is_told_of(owner: Owner) -> None:
    with owner.changed() as instance:
        instance.operation_id = "write"
    owner.report(says("running", 1))
    assert owner.types() == [DOWN, UP]


def test_what_happens_while_it_is_built_is_nobodys_business(owner: Owner) -> None:
    with owner.changed() as instance:
        instance.state = InstanceState.BUILDING
    owner.report(says("none", 3))
    owner.report(says("running", 4))
    owner.report(says("stopped", 5))
    with owner.changed() as instance:
        instance.state = InstanceState.READY
    owner.report(says("stopped", 5))
    owner.report(says("running", 5))
    assert (owner.types(), owner.row().deaths) == ([], 0)


def test_silence_is_told_once_and_so_is_its_end(owner: Owner) -> None:
    def tell(seconds: float) -> bool:
        with owner.database.write() as s:
            return engines.tell_silence(s, owner.id, NOW + timedelta(seconds=seconds))

    assert not tell(1)
    assert tell(60)
    assert not tell(60)
    assert owner.told() == [(SILENT, {"since": "2026-11-21T01:02:05.456789Z"})]
    owner.report(says("running", 1))
    assert owner.types() == [HEARD, DOWN, UP]
    owner.report(says("running", 1))
    assert owner.types() == []


def test_events_of_an_instance_are_numbered_in_their_order(owner: Owner) -> None:
    for deaths in (1, 2, 3):
        owner.report(says("running", deaths))
    with owner.database.read() as s:
        bodies = s.scalars(select(OutboxRow.body).order_by(OutboxRow.id)).all()
    assert [(body["sequence"], body["type"]) for body in bodies] == list(enumerate([DOWN, UP] * 3, 1))
