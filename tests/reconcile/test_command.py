"""`coffer reconcile`: what it tells, what it asks, what it mends, and what it never touches."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from cli.commands.reconcile import DRIFT
from cli.errors import FAILED
from cli.main import main
from clouds.local.state import State
from clouds.ports import WantPort
from models import EventSubscription, Instance, InstanceState, OperationRow, OperationState
from models.base import new_id
from tests.reconcile.conftest import Room

pytestmark = pytest.mark.parametrize("server", ["sqlite"], indirect=True)

Coffer = Callable[..., Result]


@pytest.fixture
def coffer(room: Room, tmp_path: Path) -> Coffer:
    config = tmp_path / "coffer.conf"
    keyring = f"[secrets]\nkeyring_file = {tmp_path}/keyring.json\n"
    cloud = f"[cloud]\nlocal_directory = {room.directory}\n"
    config.write_text(f"{keyring}{cloud}[database]\nconnection = {room.database.url}\n")

    def run(*words: str, grace: float = 0, answer: str | None = None) -> Result:
        config.write_text(config.read_text().split("[reconcile]")[0] + f"[reconcile]\ngrace = {grace}\n")
        return CliRunner().invoke(main, ["reconcile", *words, "--config", str(config)], input=answer)

    return run


def found(result: Result) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def orphan(room: Room) -> str:
    """A port that a deleted instance has left; its key."""
    id, key = room.instance(state=InstanceState.DELETED)
    return room.cloud.networks.create_port(WantPort(f"{key}port", id)).key


def repairs(room: Room) -> list[OperationRow]:
    with room.database.read() as s:
        return list(s.scalars(select(OperationRow).where(OperationRow.kind == "InstanceRepair")))


def test_it_tells_with_its_exit_code_and_changes_nothing(room: Room, coffer: Coffer) -> None:
    clean = coffer()
    assert (clean.exit_code, clean.output) == (0, "cloud and rows agree\n")
    key = orphan(room)
    told = coffer("--json")
    assert told.exit_code == DRIFT
    (row,) = found(told)
    assert (row["kind"], row["thing"], row["key"], row["repair"], row["looks"]) == ("orphan", "port", key, "remove it", 1)
    assert found(coffer("--json"))[0]["looks"] == 2
    assert "is left of an instance that is deleted" in coffer().output
    assert room.cloud.networks.show_port(key)


def test_what_was_found_just_now_is_not_mended(room: Room, coffer: Coffer) -> None:
    key = orphan(room)
    first = coffer("--fix", "--yes")
    assert (first.exit_code, first.stdout) == (DRIFT, "there is nothing to mend\n")
    assert "1 difference has not been found by two looks" in first.stderr
    assert "left for later" in coffer("--fix", "--yes", grace=60).stderr
    assert room.cloud.networks.show_port(key)


def test_a_dry_run_says_exactly_what_would_be_done(room: Room, coffer: Coffer) -> None:
    key = orphan(room)
    coffer()
    planned = coffer("--fix", "--dry-run", "--json")
    assert planned.exit_code == DRIFT
    assert [(one["do"], one["thing"], one["key"]) for one in found(planned)] == [("remove it", "port", key)]
    assert room.cloud.networks.show_port(key)
    done = coffer("--fix", "--yes", "--json")
    assert done.exit_code == 0
    assert [{**one, "outcome": "done"} for one in found(planned)] == found(done)
    assert room.cloud.networks.show_port(key) is None
    assert coffer().exit_code == 0


def test_it_asks_and_takes_no_for_an_answer(room: Room, coffer: Coffer, monkeypatch: pytest.MonkeyPatch) -> None:
    key = orphan(room)
    coffer()
    nobody = coffer("--fix")
    assert nobody.exit_code == FAILED
    assert "say --yes" in nobody.stderr
    monkeypatch.setattr("cli.commands.reconcile.is_terminal", lambda: True)
    refused = coffer("--fix", answer="n\n")
    assert "Do this?" in refused.output
    assert refused.exit_code == 1
    assert room.cloud.networks.show_port(key)
    assert coffer("--fix", answer="y\n").exit_code == 0
    assert room.cloud.networks.show_port(key) is None


def test_how_to_mend_needs_fix(room: Room, coffer: Coffer) -> None:
    assert "add --fix" in coffer("--dry-run").stderr
    assert coffer("--fix", "--only", "nonsense").exit_code == 2


def test_only_one_kind_is_mended(room: Room, coffer: Coffer) -> None:
    key = orphan(room)
    room.instance()
    coffer()
    assert found(coffer("--fix", "--only", "stopped", "--yes", "--json")) == []
    assert {one["key"] for one in found(coffer("--fix", "--only", "orphan", "--yes", "--json"))} == {key}
    assert {one["kind"] for one in found(coffer("--json"))} == {"lost"}


def test_a_deleted_server_is_told_to_the_tenant(room: Room, coffer: Coffer) -> None:
    id, key = room.instance()
    room.things(id, key)
    room.cloud.compute.delete_server(f"{key}server")
    coffer()
    done = coffer("--fix", "--yes", "--json")
    assert [(one["do"], one["outcome"]) for one in found(done)] == [("set the instance to ERROR", "done")]
    assert room.state(id) is InstanceState.ERROR
    left = found(coffer("--json"))
    assert [(one["kind"], one["thing"], one["repair"], one["looks"]) for one in left] == [("lost", "server", "", 3)]
    assert room.cloud.volumes.show_volume(f"{key}volume")


def test_a_server_that_is_off_is_repaired_by_one_operation(room: Room, coffer: Coffer) -> None:
    with room.database.write() as s:
        s.add(EventSubscription(project_id="project", queue="news", ttl=3600))
    id, key = room.instance()
    room.things(id, key)
    coffer()
    (done,) = found(coffer("--fix", "--yes", "--json"))
    (row,) = repairs(room)
    assert done["outcome"] == f"operation {row.id}"
    assert (row.state, row.instance_id, row.user_id) == (OperationState.PENDING, id, "coffer reconcile")
    assert (row.input["server_key"], row.input["volume_key"]) == (f"{key}server", f"{key}volume")
    assert room.read(id).operation_id == row.id
    assert room.news() == ["operation.accepted"]
    assert coffer("--fix", "--yes").exit_code == 0, "it is under way"
    assert len(repairs(room)) == 1


def test_a_busy_instance_is_left_alone(room: Room, coffer: Coffer) -> None:
    id, key = room.instance()
    room.things(id, key)
    coffer()
    with room.database.write() as s:
        s.add(
            OperationRow(
                id=(op_id := new_id()), kind="InstanceRestart", workflow_id="w", instance_id=id, project_id="project", input={}
            )
        )
        Instance.reserve(s, id, op_id)
    assert coffer("--fix", "--yes").exit_code == 0
    assert repairs(room) == []


def test_what_another_deployment_has_made_is_never_touched(room: Room, coffer: Coffer) -> None:
    foreign, key = new_id(), f"coffer-{new_id()}-"
    room.things(foreign, key)
    mine, _ = room.instance(state=InstanceState.DELETED)
    room.cloud.networks.create_port(WantPort(f"coffer-{new_id()}-port", mine))
    coffer()
    rows = found(coffer("--json"))
    assert {(one["kind"], one["repair"]) for one in rows} == {("unknown", "")}
    assert len(rows) == 4
    assert coffer("--fix", "--yes").stdout == "there is nothing to mend\n"
    assert (len(room.cloud.compute.servers()), len(room.cloud.volumes.volumes()), len(room.cloud.networks.ports())) == (1, 1, 2)


def test_what_fails_says_why_and_is_tried_again(room: Room, coffer: Coffer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.commands.reconcile.PATIENCE", 0.0)
    key = orphan(room)
    (port,) = room.cloud.networks.ports()
    other, other_key = room.instance()
    room.put_server(other, f"{other_key}server", port_id=port.id, phase="rebooting")
    coffer()
    failed = coffer("--fix", "--yes", "--only", "orphan", "--json")
    assert failed.exit_code == FAILED
    assert "in use" in found(failed)[0]["outcome"]
    assert "tried again" in failed.stderr
    (row,) = (one for one in found(coffer("--json")) if one["key"] == key)
    assert "in use" in row["error"]
    State(room.directory).servers.remove(State(room.directory).servers.all()[0]["id"])
    assert found(coffer("--fix", "--yes", "--only", "orphan", "--json"))[0]["outcome"] == "done"
