"""Names: a record leads to one address, is found again by its key and seen by whoever asks for it, and nobody else's is touched."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from clouds.ports import Cloud, CloudError, Record, RecordStatus, WantRecord
from tests.contract.clouds.conftest import Driver, patiently
from tests.contract.clouds.test_crashes import EVERY, crash, points_of, sample
from tests.support.local_guest import eventually

WITHIN = 60.0
FIRST, SECOND, SIXTH = "192.0.2.7", "192.0.2.8", "2001:db8::7"


@dataclass(frozen=True)
class Naming:
    """One name, in a zone that there is."""

    driver: Driver
    cloud: Cloud
    want: WantRecord

    def make(self, **changes: str) -> Record:
        return patiently(lambda: self.cloud.names.create_record(replace(self.want, **changes)))

    def is_told(self, *addresses: str) -> bool:
        """Whether whoever asks for the name is told these and no others."""
        return eventually(lambda: self.driver.resolve(self.want.name) == list(addresses), WITHIN)

    def is_gone(self) -> bool:
        return eventually(lambda: self.cloud.names.show_record(self.want.key) is None, WITHIN)

    def remove(self) -> None:
        for record in self.cloud.names.records_of(self.want.owner):
            self.cloud.names.delete_record(record.key)
        assert eventually(lambda: self.cloud.names.records_of(self.want.owner) == [], WITHIN)


@pytest.fixture
def naming(driver: Driver, cloud: Cloud) -> Iterator[Naming]:
    if not driver.zone:
        pytest.skip("this OpenStack has no Designate (TESTBED_DNS=1)")
    owner = str(uuid.uuid4())
    naming = Naming(driver, cloud, WantRecord(f"coffer-{uuid.uuid4()}-name", owner, f"{owner}.{driver.zone}", FIRST))
    yield naming
    naming.remove()
    assert driver.left() == []


def settled(naming: Naming) -> Record:
    def look() -> list[Record]:
        record = naming.cloud.names.show_record(naming.want.key)
        return [record] if record and record.status is not RecordStatus.PENDING else []

    assert eventually(look, WITHIN)
    return look()[0]


def test_a_name_leads_to_its_address_until_it_is_removed(naming: Naming) -> None:
    made = naming.make()
    want = naming.want
    assert (made.key, made.owner, made.name, made.address) == (want.key, want.owner, want.name, want.address)
    assert settled(naming) == replace(made, status=RecordStatus.ACTIVE)
    assert naming.is_told(FIRST)
    for _ in range(2):
        naming.cloud.names.delete_record(want.key)
    assert naming.is_gone()
    assert naming.is_told()


def test_it_is_found_by_key_by_owner_and_among_all(naming: Naming) -> None:
    made = naming.make()
    assert naming.make().id == made.id
    names = naming.cloud.names
    assert [one.id for one in names.records_of(naming.want.owner)] == [made.id]
    assert [one.id for one in names.records() if one.key == naming.want.key] == [made.id]
    assert names.show_record("coffer-nothing-name") is None
    assert names.records_of("nobody") == []


@pytest.mark.parametrize("other", [SECOND, SIXTH])
def test_one_that_led_elsewhere_leads_where_it_is_wanted(naming: Naming, other: str) -> None:
    naming.make()
    assert settled(naming).address == FIRST
    naming.make(address=other)
    assert naming.is_told(other)
    assert settled(naming).address == other


def test_the_key_of_a_later_operation_takes_the_name_over(naming: Naming) -> None:
    """As after a create that was terminated and could not remove it."""
    made, key = naming.make(), f"coffer-{uuid.uuid4()}-name"
    assert naming.make(key=key).name == made.name
    assert naming.is_gone()
    assert [one.key for one in naming.cloud.names.records_of(naming.want.owner)] == [key]


def test_a_name_that_is_somebody_elses_is_refused_for_good(naming: Naming) -> None:
    naming.make()
    with pytest.raises(CloudError) as refused:
        naming.make(key=f"coffer-{uuid.uuid4()}-name", owner="somebody-else", address=SECOND)
    assert refused.value.status == 400
    assert naming.is_told(FIRST)


def test_calls_that_race_make_one(naming: Naming) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: naming.make(), range(4)))
    assert len({one.id for one in made}) == 1
    assert len(naming.cloud.names.records_of(naming.want.owner)) == 1


@pytest.mark.parametrize("sampled", EVERY)
def test_a_crash_at_any_line_leaves_what_the_next_call_finishes(naming: Naming, driver: Driver, sampled: bool) -> None:
    points = points_of(naming.make, driver.source)
    for number, point in sample(points, driver.samples if sampled else None):
        naming.remove()
        crash(naming.make, driver.source, point)
        if number % 2:
            naming.make()
            assert naming.is_told(FIRST), point
            assert len(naming.cloud.names.records_of(naming.want.owner)) == 1
    naming.make()
    for _, point in sample(points_of(naming.remove, driver.source), driver.samples if sampled else None):
        naming.make()
        crash(naming.remove, driver.source, point)
        naming.remove()
        assert naming.is_told(), point
