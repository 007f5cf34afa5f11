"""An instance whose server goes, stops or fails is ERROR after two looks, with a reason and an event, and only then."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.findings import known, listed
from activities.reconcile import IMPLAUSIBLE, WATCH, ReconcileActivities, unmark
from models import Instance, InstanceState
from models.base import new_id
from tests.reconcile.conftest import AT_ONCE, Room
from workflows.contracts import Duty


def watch(room: Room, times: int = 1) -> None:
    for _ in range(times):
        ActivityEnvironment().run(room.rounds().watch, Duty(WATCH))


@pytest.mark.parametrize(
    ("left", "words", "details"),
    [
        ({"phase": "started"}, "switched off", "SHUTOFF"),
        ({"phase": "started", "fault": "no space"}, "failed (its status is ERROR)", "no space"),
        (None, "is gone", "DELETED"),
    ],
    ids=["stopped", "failed", "deleted"],
)
def test_a_server_that_goes_is_told_to_its_tenant(room: Room, left: dict[str, str] | None, words: str, details: str) -> None:
    room.desk.subscribe()
    id, key = room.instance()
    if left:
        room.put_server(id, f"{key}server", **left)
    watch(room)
    assert room.state(id) is InstanceState.READY
    watch(room, 2)
    instance = room.read(id)
    assert instance.state is InstanceState.ERROR
    assert instance.fault_message
    assert instance.fault_details
    assert words in instance.fault_message
    assert details in instance.fault_details
    assert room.news() == ["instance.server_lost"]
    (row,) = listed(room.database)
    assert (row.thing, row.instance_id) == ("server", id)


def test_one_that_is_stopped_and_then_deleted_is_told_to_be_gone(room: Room) -> None:
    id, key = room.instance()
    room.put_server(id, f"{key}server")
    watch(room, 2)
    assert "switched off" in str(room.read(id).fault_message)
    room.cloud.compute.delete_server(f"{key}server")
    watch(room, 2)
    assert "is gone" in str(room.read(id).fault_message)


def test_a_server_that_reboots_is_no_loss(room: Room) -> None:
    id, key = room.instance()
    room.put_server(id, f"{key}server", phase="rebooting")
    watch(room, 3)
    assert room.state(id) is InstanceState.READY
    assert listed(room.database) == []


def test_one_look_is_not_enough_nor_two_that_are_not_in_a_row(room: Room) -> None:
    id, key = room.instance()
    room.put_server(id, f"{key}server")
    for phase in ("started", "rebooting", "started", "rebooting"):
        room.change_server(f"{key}server", phase=phase)
        watch(room)
    assert room.state(id) is InstanceState.READY


@pytest.mark.parametrize("holder", ["operation_id", "delete_operation_id"])
def test_an_instance_that_an_operation_holds_is_left_alone(room: Room, holder: str) -> None:
    id, _key = room.instance(**{holder: new_id()})
    watch(room, 3)
    assert room.state(id) is InstanceState.READY


def test_an_operation_that_begins_after_the_look_wins(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    id, _key = room.instance()
    watch(room)
    listing = room.cloud.compute.servers

    def begun_meanwhile() -> object:
        with room.database.write() as s:
            Instance.reserve(s, id, new_id())
        return listing()

    monkeypatch.setattr(room.cloud.compute, "servers", begun_meanwhile)
    watch(room)
    assert room.state(id) is InstanceState.READY


def test_a_server_that_is_back_is_told_once(room: Room) -> None:
    room.desk.subscribe(types=["instance.server_back"])
    id, _key = room.instance()
    watch(room, 2)
    row = known(room.database)[id]
    assert [unmark(room.database, id, row) for _ in range(2)] == [True, False]
    instance = room.read(id)
    assert (instance.state, instance.fault_message) == (InstanceState.READY, None)
    assert room.news() == ["instance.server_back"]


def test_another_fault_is_not_taken_back(room: Room) -> None:
    id, _key = room.instance()
    with room.database.write() as s:
        instance = s.get_one(Instance, id)
        instance.state, instance.fault_details = InstanceState.ERROR, "NoProgress in operation 1"
    assert not unmark(room.database, id, known(room.database)[id])
    assert room.state(id) is InstanceState.ERROR


def test_when_most_servers_are_missing_at_once_the_look_is_doubted(room: Room) -> None:
    """As with a password that leads into another project."""
    ids = [room.instance()[0] for _ in range(IMPLAUSIBLE + 1)]
    watch(room, 3)
    assert {room.state(id) for id in ids} == {InstanceState.READY}
    assert len(listed(room.database)) == len(ids)


def counted(call: Callable[..., Any], name: str, calls: list[str]) -> Callable[..., Any]:
    def counting(*given: Any) -> Any:
        calls.append(name)
        return call(*given)

    return counting


def test_all_servers_cost_one_call(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        id, key = room.instance()
        room.put_server(id, f"{key}server")
    calls: list[str] = []
    for service in (room.cloud.compute, room.cloud.volumes, room.cloud.networks):
        for name in (name for name in dir(service) if not name.startswith("_")):
            monkeypatch.setattr(service, name, counted(getattr(service, name), name, calls))
    watch(room, 2)
    assert calls == ["servers", "servers"]


def test_no_interval_means_no_looks(room: Room) -> None:
    never = timedelta(0)
    silent = ReconcileActivities(room.database, room.cloud, never, never, never)
    assert [duty.every for duty in silent.duties().periodic] == [timedelta(0)] * 2, "a schedule of an earlier setting is ended"
    assert len(room.rounds(AT_ONCE).duties().periodic) == 2
    room.instance()
    ActivityEnvironment().run(silent.watch, Duty(WATCH))
    assert listed(room.database) == []
