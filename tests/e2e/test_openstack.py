"""A database of each kind on an OpenStack, by the unmodified `openstack` command: made, used, restarted, deleted, and nothing left."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from clouds.ports import WantPort
from models import FlavorRow
from tests.contract.clients.openstack_cli import Cli, Refused
from tests.support.cloudaudit import audit, more_than
from tests.support.control_plane import VERSIONS, ControlPlane
from tests.support.engines import usable
from tests.support.local_guest import eventually
from tests.support.testbed import Bed

pytestmark = [pytest.mark.openstack, pytest.mark.engines, pytest.mark.timeout(600)]

PASSWORD = "Gr8-secret"
WITHIN = 240.0
SHORT = "mariadb"


def shown(cli: Cli, name: str) -> dict[str, Any] | None:
    """The instance while the list has it."""
    rows: list[dict[str, Any]] = [row for row in cli.json("database", "instance", "list") if row["Name"] == name]
    return rows[0] if rows else None


def becomes(cli: Cli, name: str, status: str) -> None:
    """One in ERROR fails the test with its fault."""

    def so() -> bool:
        now = (shown(cli, name) or {}).get("Status")
        assert status == "ERROR" or now != "ERROR", cli.json("database", "instance", "show", name)
        return now == status

    assert eventually(so, WITHIN), shown(cli, name)


def deleted(cli: Cli, name: str) -> None:
    cli.run("database", "instance", "delete", name)
    assert eventually(lambda: shown(cli, name) is None, WITHIN), shown(cli, name)


def options(bed: Bed, engine: str) -> list[str]:
    users = ["--datastore", engine, "--users", f"ada:{PASSWORD}"]
    return ["--flavor", bed.flavor_id, "--size", "1", *users, *([] if engine == "redis" else ["--databases", "app"])]


def created(cli: Cli, bed: Bed, name: str, engine: str = SHORT) -> str:
    """Id of one that is ACTIVE."""
    instance_id: str = cli.json("database", "instance", "create", name, *options(bed, engine))["id"]
    becomes(cli, name, "ACTIVE")
    return instance_id


def address_of(cli: Cli, instance_id: str) -> str:
    (address,) = {one["address"] for one in cli.json("database", "instance", "show", instance_id)["addresses"]}
    return str(address)


def has_told_of_itself(cli: Cli, instance_id: str) -> bool:
    """Only the guest's own reports say how much of its volume is used."""
    return cli.json("database", "instance", "show", instance_id).get("volume_used") is not None


def reporters(plane: ControlPlane, instance_id: str) -> set[str]:
    """From where reports of this instance were posted and taken."""
    path = f"/messaging/v2/queues/guest-{instance_id}/messages"
    requests = [json.loads(line) for line in plane.api_log.splitlines() if path in line and line.startswith("{")]
    return {one["client"] for one in requests if one["path"] == path and one["status"] == 201}


def names(rows: list[dict[str, Any]]) -> set[str]:
    return {row["Name"] for row in rows}


@pytest.mark.parametrize("engine", [pytest.param(e, marks=pytest.mark.short if e == SHORT else ()) for e in sorted(VERSIONS)])
def test_whole_life_of_an_instance(bed: Bed, plane: ControlPlane, alice: Cli, engine: str) -> None:
    before = audit(bed)
    name = f"db-{engine}"
    instance_id = created(alice, bed, name, engine)
    address = address_of(alice, instance_id)
    assert usable(engine, address, "ada", PASSWORD)
    assert eventually(lambda: has_told_of_itself(alice, instance_id), WITHIN)
    assert reporters(plane, instance_id) == {address}

    alice.run("database", "user", "create", instance_id, "bob", PASSWORD)
    assert names(alice.json("database", "user", "list", instance_id)) == {"ada", "bob"}
    alice.run("database", "user", "delete", instance_id, "bob")
    assert names(alice.json("database", "user", "list", instance_id)) == {"ada"}
    if engine == "redis":
        with pytest.raises(Refused, match="has no databases"):
            alice.run("database", "db", "create", instance_id, "second")
    else:
        alice.run("database", "db", "create", instance_id, "second")
        assert names(alice.json("database", "db", "list", instance_id)) == {"app", "second"}
        alice.run("database", "db", "delete", instance_id, "second")
        assert names(alice.json("database", "db", "list", instance_id)) == {"app"}
    assert alice.json("database", "root", "show", instance_id) == {"is_root_enabled": False}
    assert alice.json("database", "root", "enable", instance_id)["password"]
    assert alice.json("database", "root", "show", instance_id) == {"is_root_enabled": True}

    alice.run("database", "instance", "restart", instance_id)
    becomes(alice, name, "ACTIVE")
    assert usable(engine, address, "ada", PASSWORD)

    deleted(alice, name)
    assert more_than(bed, before) == []


@pytest.fixture
def huge(bed: Bed, plane: ControlPlane) -> Iterator[str]:
    """Id of a flavor that no host has room for."""
    flavor = bed.operator.compute.create_flavor(name="coffer-e2e-huge", ram=512, vcpus=1, disk=100_000)
    with plane.database.write() as s:
        s.add(FlavorRow(id=flavor.id, name="huge", ram_mb=512, vcpus=1, disk_gb=100_000))
    yield flavor.id
    bed.operator.compute.delete_flavor(flavor)


@pytest.mark.short
def test_a_create_that_fails_leaves_nothing(bed: Bed, alice: Cli, huge: str) -> None:
    before = audit(bed)
    wanted = ["--size", "1", "--datastore", SHORT]
    alice.run("database", "instance", "create", "db-huge", "--flavor", huge, *wanted)
    becomes(alice, "db-huge", "ERROR")
    assert "No valid host" in json.dumps(alice.json("database", "instance", "show", "db-huge"))
    assert more_than(bed, before) == []
    deleted(alice, "db-huge")
    assert more_than(bed, before) == []


def test_an_instance_is_deleted_while_it_is_built(bed: Bed, alice: Cli) -> None:
    before = audit(bed)
    alice.run("database", "instance", "create", "db-early", *options(bed, SHORT))
    assert eventually(lambda: more_than(bed, before), WITHIN), "nothing was made yet"
    deleted(alice, "db-early")
    assert more_than(bed, before) == []


def test_an_instance_is_deleted_while_it_restarts(bed: Bed, alice: Cli) -> None:
    before = audit(bed)
    created(alice, bed, "db-restarting")
    alice.run("database", "instance", "restart", "db-restarting")
    deleted(alice, "db-restarting")
    assert more_than(bed, before) == []


def test_an_instance_is_deleted_whose_server_is_gone(bed: Bed, alice: Cli) -> None:
    before = audit(bed)
    instance_id = created(alice, bed, "db-robbed")
    (server,) = bed.connect().compute.servers_of(instance_id)
    bed.operator.compute.delete_server(server.id)
    bed.operator.compute.wait_for_delete(bed.operator.compute.get_server(server.id))
    deleted(alice, "db-robbed")
    assert more_than(bed, before) == []


def test_engine_and_data_come_back_with_the_server(bed: Bed, alice: Cli) -> None:
    instance_id = created(alice, bed, "db-reboot")
    address = address_of(alice, instance_id)
    assert usable("mariadb", address, "ada", PASSWORD)
    cloud = bed.connect()
    (server,) = cloud.compute.servers_of(instance_id)
    cloud.compute.reboot_server(server.key)
    assert eventually(lambda: usable("mariadb", address, "ada", PASSWORD), WITHIN)
    deleted(alice, "db-reboot")


def test_what_belongs_to_no_instance_is_told_and_left_alone(bed: Bed, plane: ControlPlane) -> None:
    stray = bed.connect().networks.create_port(WantPort("coffer-stray-port", "no-instance"))
    foreign = bed.service.network.create_port(name="foreign", network_id=stray.network_id)
    try:
        told = CliRunner().invoke(main, ["reconcile", "--config", str(plane.directory / "coffer.conf"), "--json"])
        assert [(one["thing"], one["key"]) for one in json.loads(told.output)] == [("port", "coffer-stray-port")]
        assert bed.connect().networks.show_port("coffer-stray-port") == stray
    finally:
        bed.connect().networks.delete_port("coffer-stray-port")
        bed.service.network.delete_port(foreign)


@pytest.mark.short
def test_no_key_and_no_password_is_in_a_log(plane: ControlPlane) -> None:
    for name in ("api", "worker"):
        text = (plane.directory / f"{name}.log").read_text()
        assert "PRIVATE KEY" not in text
        assert PASSWORD not in text
        assert "user_data" not in text
