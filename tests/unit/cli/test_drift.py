"""Each difference between cloud and rows is told, and nothing else."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.commands.reconcile import DRIFT
from cli.drift import Finding, Held, Known, compare
from cli.main import main
from clouds.local import local_cloud
from clouds.ports import Port, Server, ServerStatus, Volume, VolumeStatus, WantPort
from models import Base, Database, InstanceState

READY = Known(InstanceState.READY, "coffer-1-server", busy=False, generation=1)
SERVER = Server("s1", "coffer-1-server", "db-1", ServerStatus.ACTIVE, "10.0.0.7")
VOLUME = Volume("v1", "coffer-1-volume", "db-1", 1, VolumeStatus.IN_USE)
PORT = Port("p1", "coffer-1-port", "db-1", "10.0.0.7")


def told(held: Held, **row: object) -> list[str]:
    known = Known(**{**READY.__dict__, **row})  # type: ignore[arg-type]
    return [f"{one.thing} {one.finding}" for one in compare(held, {"db-1": known})]


def test_a_complete_instance_is_nothing_to_tell() -> None:
    assert told(Held([SERVER], [VOLUME], [PORT])) == []


def test_what_has_no_row_is_told_with_its_id() -> None:
    stray = Volume("v9", "coffer-9-volume", "db-9", 1, VolumeStatus.AVAILABLE)
    found = compare(Held([SERVER], [VOLUME, stray], [PORT]), {"db-1": READY})
    assert found == [Finding("belongs to no instance", "volume", "db-9", "coffer-9-volume", "v9")]


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (Held([], [VOLUME], [PORT]), ["server is missing"]),
        (Held([SERVER], [], [PORT]), ["volume is missing"]),
        (Held([SERVER], [VOLUME], []), ["port is missing"]),
        (Held([Server("s1", SERVER.key, "db-1", ServerStatus.SHUTOFF, "")], [VOLUME], [PORT]), ["server is SHUTOFF"]),
        (Held([SERVER], [Volume("v1", VOLUME.key, "db-1", 1, VolumeStatus.AVAILABLE)], [PORT]), ["volume is available"]),
    ],
    ids=["server", "volume", "port", "stopped", "detached"],
)
def test_what_a_ready_instance_lacks_is_told(held: Held, expected: list[str]) -> None:
    assert told(held) == expected


def test_what_a_failed_create_or_a_delete_has_left_is_told() -> None:
    only_port = Held([], [], [PORT])
    assert told(only_port, state=InstanceState.ERROR, server_key=None) == ["port is left of an instance that is without a server"]
    assert told(only_port, state=InstanceState.DELETED) == ["port is left of an instance that is deleted"]


@pytest.mark.parametrize("held", [Held([], [], []), Held([SERVER], [], [PORT])])
def test_an_instance_that_changes_just_now_is_left_alone(held: Held) -> None:
    assert told(held, busy=True) == []
    assert told(held, busy=True, state=InstanceState.BUILDING, server_key=None) == []


def test_the_command_tells_it_with_its_exit_code(tmp_path: Path) -> None:
    config = tmp_path / "coffer.conf"
    url = f"sqlite:///{tmp_path}/coffer.db"
    config.write_text(f"[database]\nconnection = {url}\n[cloud]\nlocal_directory = {tmp_path}/cloud\n")
    database = Database(url)
    Base.metadata.create_all(database.engine)
    database.close()
    clean = CliRunner().invoke(main, ["reconcile", "--config", str(config)])
    assert (clean.exit_code, clean.output) == (0, "cloud and rows agree\n")
    local_cloud(tmp_path / "cloud").networks.create_port(WantPort("coffer-9-port", "db-9"))
    drifted = CliRunner().invoke(main, ["reconcile", "--config", str(config), "--json"])
    assert drifted.exit_code == DRIFT
    (found,) = json.loads(drifted.output)
    assert (found["thing"], found["instance"], found["finding"]) == ("port", "db-9", "belongs to no instance")
