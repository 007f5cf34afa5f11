"""What a step makes of the states of a DNS record: waited for while it is on its way, failed for good when its servers did not take it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.designate import DesignateActivities
from clouds.ports import CloudError, Record, RecordStatus, WantRecord
from workflows.contracts import Operation, WantName

OP = Operation("op-1", "db-1", "project-1")
WANT = WantName(OP, "coffer-op-1-name", "db-1.db.test", "192.0.2.7")
PENDING, ACTIVE, ERROR = RecordStatus.PENDING, RecordStatus.ACTIVE, RecordStatus.ERROR


class Zone:
    """In the place of a cloud's names: a record is seen in each of the statuses, one after the other, and stays in the last; None: it is gone."""

    def __init__(self, *statuses: RecordStatus | None) -> None:
        self._statuses = list(statuses)
        self.asked: list[str] = []

    def create_record(self, want: WantRecord) -> Record:
        self.asked.append(f"create {want.name} {want.address} of {want.owner}")
        record = self.show_record(want.key)
        assert record
        return record

    def show_record(self, key: str) -> Record | None:
        status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
        return replace(RECORD, key=key, status=status) if status else None

    def records_of(self, owner: str) -> list[Record]:
        return [replace(RECORD, owner=owner)]

    def records(self) -> list[Record]:
        return [RECORD]

    def delete_record(self, key: str) -> None:
        self.asked.append(f"delete {key}")


RECORD = Record("r1", WANT.key, OP.instance_id, WANT.name, WANT.address, ACTIVE)


@pytest.mark.parametrize(
    "statuses", [[ACTIVE], [PENDING, PENDING, ACTIVE], [PENDING, None, ACTIVE]], ids=["at once", "soon", "hidden"]
)
def test_a_record_is_made_when_its_servers_know_it(statuses: list[RecordStatus | None]) -> None:
    zone = Zone(*statuses)
    ActivityEnvironment().run(DesignateActivities(zone).set_record, WANT)
    assert zone.asked == ["create db-1.db.test 192.0.2.7 of db-1"]


def test_one_that_its_servers_do_not_take_is_final_and_says_so_to_a_tenant() -> None:
    with pytest.raises(ApplicationError, match=r"The name db-1\.db\.test could not be made known") as failed:
        ActivityEnvironment().run(DesignateActivities(Zone(PENDING, ERROR)).set_record, WANT)
    assert (failed.value.type, failed.value.non_retryable) == ("RecordFailed", True)


@pytest.mark.parametrize(
    ("status", "error_type", "is_final"),
    [
        (400, "CloudRejected", True),
        (413, "QuotaExceeded", True),
        (409, "CloudUnavailable", False),
        (503, "CloudUnavailable", False),
    ],
)
def test_refusals_are_final_or_pass(monkeypatch: pytest.MonkeyPatch, status: int, error_type: str, is_final: bool) -> None:
    def refuse(want: WantRecord) -> Record:
        raise CloudError("Designate: no", status)

    zone = Zone(ACTIVE)
    monkeypatch.setattr(zone, "create_record", refuse)
    with pytest.raises(ApplicationError, match="Designate: no") as failed:
        ActivityEnvironment().run(DesignateActivities(zone).set_record, WANT)
    assert (failed.value.type, failed.value.non_retryable) == (error_type, is_final)


REMOVALS: list[Callable[[DesignateActivities], None]] = [
    lambda steps: ActivityEnvironment().run(steps.delete_record, WANT),
    lambda steps: ActivityEnvironment().run(steps.delete_records_of, OP),
]


@pytest.mark.parametrize("remove", REMOVALS, ids=["by key", "by owner"])
def test_a_record_is_removed_when_it_is_seen_no_more(remove: Callable[[DesignateActivities], None]) -> None:
    zone = Zone(ACTIVE, PENDING, None)
    remove(DesignateActivities(zone))
    assert zone.asked == [f"delete {WANT.key}"]
    assert zone.show_record(WANT.key) is None
