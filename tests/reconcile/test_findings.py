"""What looks write down: since when a difference is found, and that what is approved is mended, whoever comes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from temporalio.testing import ActivityEnvironment

from activities import findings
from activities.drift import Finding, Kind, Repair
from activities.findings import approve, listed, look, write
from activities.reconcile import LOOK
from clouds.ports import SecurityGroup, WantGroup, WantPort, WantRecord
from models import Instance, InstanceState, OperationRow
from models.base import utcnow
from tests.reconcile.conftest import Room
from workflows.contracts import EVERYBODY, Duty

LOST = Finding(Kind.LOST, "is missing", "volume", "db-1")
STRAY = Finding(Kind.ORPHAN, "is left", "port", "db-1", "key", "id", Repair.REMOVE)
GRACE = timedelta(minutes=2)


def look_once(room: Room) -> None:
    ActivityEnvironment().run(room.rounds().look, Duty(LOOK))


def test_a_finding_has_an_age_and_is_forgotten_with_its_cause(room: Room) -> None:
    begun = utcnow()
    write(room.database, [LOST, STRAY], now=begun)
    write(room.database, [LOST], now=begun + timedelta(minutes=1))
    (row,) = listed(room.database)
    assert (row.kind, row.first_seen, row.last_seen, row.looks) == ("lost", begun, begun + timedelta(minutes=1), 2)
    write(room.database, [])
    assert listed(room.database) == []


@pytest.mark.parametrize(
    ("after", "is_confirmed"), [([], False), ([1], False), ([3], True), ([1, 3], True)], ids=["once", "soon", "later", "often"]
)
def test_a_finding_is_confirmed_by_two_looks_that_lie_apart(room: Room, after: list[int], is_confirmed: bool) -> None:
    begun = utcnow()
    (seen,) = write(room.database, [LOST], now=begun)
    for minutes in after:
        (seen,) = write(room.database, [LOST], now=begun + timedelta(minutes=minutes))
    assert seen.is_confirmed(GRACE) is is_confirmed


def test_one_that_comes_again_begins_anew(room: Room) -> None:
    begun = utcnow()
    for minutes, found in enumerate([[LOST], [], [LOST]]):
        seen = write(room.database, found, now=begun + timedelta(minutes=3 * minutes))
    assert not seen[0].is_confirmed(GRACE)


def test_a_look_at_servers_forgets_nothing_of_other_things(room: Room) -> None:
    write(room.database, [LOST, STRAY])
    write(room.database, [], thing="server", kinds=(Kind.LOST,))
    assert len(listed(room.database)) == 2
    write(room.database, [], thing="volume", kinds=(Kind.LOST,))
    assert [row.kind for row in listed(room.database)] == ["orphan"]


def test_looks_at_once_write_one_row_of_each(room: Room) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: write(room.database, [LOST, STRAY]), range(8)))
    rows = listed(room.database)
    assert sorted(row.kind for row in rows) == ["lost", "orphan"]
    assert {row.looks for row in rows} == {8}


def test_what_was_approved_is_mended_by_the_next_look(room: Room) -> None:
    """As after the death of the command that was about to do so."""
    id, key = room.instance(state=InstanceState.DELETED)
    room.things(id, key)
    before = {found.key for found in look(room.database, room.cloud).found}
    assert before == {f"{key}port", f"{key}volume", f"{key}server"}
    look_once(room)
    look_once(room)
    assert len(room.cloud.networks.ports()) == 1, "nobody has approved it"
    approve(room.database, [row.id for row in listed(room.database)])
    look_once(room)
    assert (room.cloud.compute.servers(), room.cloud.volumes.volumes(), room.cloud.networks.ports()) == ([], [], [])
    assert listed(room.database) == []


def test_what_a_check_has_left_in_the_object_store_is_removed_once_it_is_approved(room: Room) -> None:
    id, _key = room.instance(state=InstanceState.DELETED)
    check = room.check_of(id)
    kept = room.send_object("checks/of-nobody"), room.send_object(f"other/{check}")
    left = room.send_object(f"checks/{check}")
    look_once(room)
    assert {(row.kind, row.key) for row in listed(room.database)} == {
        ("orphan", f"{left.project}/{left.path}"),
        ("unknown", f"{left.project}/checks/of-nobody"),
    }
    approve(room.database, [row.id for row in listed(room.database)])
    look_once(room)
    assert {stored.key for stored in room.cloud.objects.objects(left.project)} == set(kept)


def test_what_was_approved_and_is_gone_meanwhile_is_forgotten(room: Room) -> None:
    id, key = room.instance(state=InstanceState.DELETED)
    room.cloud.networks.create_port(WantPort(f"{key}port", id))
    look_once(room)
    approve(room.database, [row.id for row in listed(room.database)])
    room.cloud.networks.delete_port(f"{key}port")
    look_once(room)
    assert listed(room.database) == []


def test_what_cannot_be_removed_says_why_and_stays_approved(room: Room) -> None:
    id, key = room.instance(state=InstanceState.DELETED)
    port = room.cloud.networks.create_port(WantPort(f"{key}port", id))
    other, other_key = room.instance()
    room.put_server(other, f"{other_key}server", port_id=port.id)
    look_once(room)
    approve(room.database, [row.id for row in listed(room.database) if row.key == port.key])
    look_once(room)
    (row,) = (row for row in listed(room.database) if row.key == port.key)
    assert "in use" in row.error
    room.cloud.compute.delete_server(f"{other_key}server")
    look_once(room)
    assert room.cloud.networks.show_port(port.key) is None


def test_what_an_operation_begins_to_change_during_a_look_is_left_out(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    id, _key = room.instance()
    listing = room.cloud.networks.ports

    def begun_meanwhile() -> object:
        with room.database.write() as s:
            room_instance = s.get_one(type(room.read(id)), id)
            room_instance.generation += 1
        return listing()

    assert {found.instance for found in look(room.database, room.cloud).found} == {id}
    monkeypatch.setattr(room.cloud.networks, "ports", begun_meanwhile)
    assert look(room.database, room.cloud).found == []


@pytest.mark.parametrize(("access", "wanted"), [(None, "10.0.0.0/8"), ({"is_public": False, "allowed_cidrs": []}, EVERYBODY)])
def test_a_group_is_to_let_in_whom_the_row_says(room: Room, access: dict[str, Any] | None, wanted: str) -> None:
    """Since its access was changed to everybody, the narrower one of its create counts no more."""
    id, key = room.instance()
    network = {"network_id": "n", "port": 3306, "allowed_cidrs": ["10.0.0.0/8"]}
    with room.database.write() as s:
        s.execute(update(OperationRow).where(OperationRow.instance_id == id).values(input={"network": network}))
        s.get_one(Instance, id).access = access
    groups = [SecurityGroup("1", f"{key}access", id)]
    assert findings._wanted(room.database, groups) == [WantGroup(f"{key}access", id, 3306, (wanted,))]


def test_a_name_that_was_taken_away_or_led_elsewhere_is_given_back(room: Room) -> None:
    id, key = room.instance()
    room.things(id, key)
    shown = [
        {"address": "10.0.0.7", "type": "private", "network": "n"},
        {"address": "198.51.100.7", "type": "public"},
    ]
    with room.database.write() as s:
        instance = s.get_one(Instance, id)
        instance.hostname, instance.addresses = f"{id}.db.test", shown
    names = room.cloud.names
    wanted = WantRecord(f"{key}name", id, f"{id}.db.test", "198.51.100.7")
    for meddle in (lambda: names.delete_record(wanted.key), lambda: names.create_record(replace(wanted, address="192.0.2.1"))):
        meddle()
        look_once(room)
        approve(room.database, [row.id for row in listed(room.database) if row.thing == "DNS record"])
        look_once(room)
        (record,) = names.records()
        assert (record.key, record.owner, record.name, record.address) == (wanted.key, id, wanted.name, wanted.address)
        assert [found for found in look(room.database, room.cloud).found if found.thing == "DNS record"] == []
    names.delete_record(wanted.key)


def test_the_name_of_a_deleted_instance_is_removed(room: Room) -> None:
    id, key = room.instance(state=InstanceState.DELETED)
    room.cloud.names.create_record(WantRecord(f"{key}name", id, f"{id}.db.test", "192.0.2.1"))
    room.cloud.names.create_record(WantRecord("coffer-others-name", "others", "others.db.test", "192.0.2.2"))
    look_once(room)
    approve(room.database, [row.id for row in listed(room.database)])
    look_once(room)
    assert [record.key for record in room.cloud.names.records()] == ["coffer-others-name"]
    room.cloud.names.delete_record("coffer-others-name")
