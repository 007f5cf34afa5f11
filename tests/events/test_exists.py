"""`trove.instance.exists`: once for each instance and period, whoever asks how often."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from activities.exists import Existence
from models import EventSubscription, Instance
from models.base import utcnow
from tests.events.conftest import Desk

HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LONG_AGO = NOON - timedelta(days=9)


@pytest.fixture
def existence(desk: Desk) -> Existence:
    return Existence(desk.database, HOUR)


@pytest.fixture
def instance_id(desk: Desk) -> str:
    desk.subscribe(types=["trove.instance.exists"], created_at=LONG_AGO)
    return desk.instance(created_at=LONG_AGO)


def periods(desk: Desk) -> list[tuple[str, str]]:
    desk.delivery.round()
    return [(e["payload"]["audit_period_beginning"][11:16], e["payload"]["audit_period_ending"][11:16]) for e in desk.news()]


def test_a_period_is_told_once_when_it_is_over(desk: Desk, existence: Existence, instance_id: str) -> None:
    told = [existence.tell(now=NOON + timedelta(minutes=minutes)) for minutes in (5, 5, 59, 60)]
    assert told == [1, 0, 0, 1]
    assert periods(desk) == [("11:00", "12:00"), ("12:00", "13:00")]


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_it_has_troves_fields(desk: Desk, existence: Existence, instance_id: str) -> None:
    existence.tell(now=NOON)
    desk.delivery.round()
    [event] = desk.news()
    assert event["type"] == "trove.instance.exists"
    assert event["operation"] is None
    assert event["payload"] == {
        "audit_period_beginning": "2026-11-21T11:00:00.000000Z",
        "audit_period_ending": "2026-11-21T12:00:00.000000Z",
        "availability_zone": None,
        "created_at": "2026-11-12T12:00:00.000000Z",
        "display_name": "0",
        "instance_id": instance_id,
        "instance_name": "0",
        "instance_size": 512,
        "instance_type": "tiny",
        "instance_type_id": "f",
        "launched_at": "2026-11-12T12:00:00.000000Z",
        "name": "0",
        "nova_instance_id": None,
        "nova_volume_id": None,
        "region": "RegionOne",
        "service_id": "d",
        "state": "active",
        "state_description": "active",
        "tenant_id": "project",
        "user_id": None,
        "volume_size": 1,
    }


def test_a_repeated_round_gives_the_same_ids(desk: Desk, existence: Existence, instance_id: str) -> None:
    """A round whose rows were written twice, as after a restored backup."""
    ids = []
    for _ in range(2):
        existence.tell(now=NOON)
        desk.delivery.round()
        ids += [event["id"] for event in desk.news()]
        with desk.database.write() as s:
            s.execute(update(Instance).values(exists_until=None))
    assert len(ids) == 2
    assert len(set(ids)) == 1


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_what_was_missed_is_told_later_but_not_for_ever(desk: Desk, existence: Existence, instance_id: str) -> None:
    existence.tell(now=NOON)
    existence.tell(now=NOON + 3 * HOUR)
    assert periods(desk) == [("11:00", "12:00"), ("12:00", "13:00"), ("13:00", "14:00"), ("14:00", "15:00")]
    existence.tell(now=NOON + timedelta(days=5))
    assert len(periods(desk)) == 24


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_nobody_is_told_of_what_was_before_the_subscription(desk: Desk, existence: Existence, instance_id: str) -> None:
    existence.tell(now=NOON)
    periods(desk)
    with desk.database.write() as s:
        s.execute(update(EventSubscription).values(created_at=NOON + 3 * HOUR - timedelta(minutes=1)))
    existence.tell(now=NOON + 3 * HOUR)
    assert periods(desk) == [("14:00", "15:00")]


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_what_does_not_exist_and_what_nobody_wants_to_know(desk: Desk, existence: Existence, instance_id: str) -> None:
    desk.instance("another project", created_at=LONG_AGO)
    desk.instance(created_at=LONG_AGO, deleted_at=NOON - HOUR)
    desk.instance(created_at=NOON)
    failed = desk.instance(created_at=LONG_AGO)
    with desk.database.write() as s:
        s.get_one(Instance, failed).server_key = None
    before = utcnow()
    assert existence.tell(now=NOON) == 1
    with desk.database.read() as s:
        assert s.get_one(Instance, instance_id).updated_at < before


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_without_an_interval_nothing_is_told(desk: Desk, instance_id: str) -> None:
    assert Existence(desk.database, timedelta()).tell(now=NOON) == 0


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_a_round_can_be_broken_off_and_goes_on_where_it_was(desk: Desk, existence: Existence, instance_id: str) -> None:
    for _ in range(3):
        desk.instance(created_at=LONG_AGO)
    looks = iter([None, None])

    def still_wanted() -> None:
        next(looks)

    with pytest.raises(StopIteration):
        existence.tell(still_wanted, now=NOON)
    assert existence.tell(now=NOON) == 2
    assert len(periods(desk)) == 4
