"""A database of each kind on an OpenStack, by the unmodified `openstack` command: made, used, restarted, deleted, and nothing left."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from clouds.ports import WantPort
from tests.contract.clients.openstack_cli import Cli
from tests.support.control_plane import VERSIONS, ControlPlane, control_plane
from tests.support.engines import usable
from tests.support.local_guest import eventually
from tests.support.testbed import CLOUDS_FILE, Bed, testbed

pytestmark = [pytest.mark.openstack, pytest.mark.engines, pytest.mark.timeout(600)]

PASSWORD = "Gr8-secret"
WITHIN = 240.0


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    if not CLOUDS_FILE:
        pytest.skip("COFFER_TESTBED_CLOUDS names no OpenStack")
    with testbed() as found:
        yield found


@pytest.fixture(scope="module")
def plane(bed: Bed) -> Iterator[ControlPlane]:
    with (
        tempfile.TemporaryDirectory(prefix="co-", dir="/tmp") as directory,
        control_plane(Path(directory), bed) as plane,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("HOME", directory)
        patched.setenv("OS_CLIENT_CONFIG_FILE", str(plane.clouds))
        yield plane


@pytest.fixture(scope="module")
def cli(plane: ControlPlane) -> Cli:
    return Cli("alpha")


def shown(cli: Cli, name: str) -> dict[str, Any] | None:
    """The instance while the list has it.  One in ERROR fails the test with its fault."""
    rows = [row for row in cli.json("database", "instance", "list") if row["Name"] == name]
    assert not rows or rows[0]["Status"] != "ERROR", cli.json("database", "instance", "show", rows[0]["ID"])
    return rows[0] if rows else None


def is_active(cli: Cli, name: str) -> bool:
    return (shown(cli, name) or {}).get("Status") == "ACTIVE"


def has_told_of_itself(cli: Cli, instance_id: str) -> bool:
    """Only the guest's own reports say how much of its volume is used."""
    return cli.json("database", "instance", "show", instance_id).get("volume_used") is not None


def names(rows: list[dict[str, Any]]) -> set[str]:
    return {row["Name"] for row in rows}


@pytest.mark.parametrize("engine", sorted(VERSIONS))
def test_whole_life_of_an_instance(bed: Bed, plane: ControlPlane, cli: Cli, engine: str) -> None:
    before = bed.held()
    has_databases = engine != "redis"
    name = f"db-{engine}"
    options = ["--flavor", bed.flavor_id, "--size", "1", "--datastore", engine, "--users", f"ada:{PASSWORD}"]
    options += ["--databases", "app"] if has_databases else []
    instance_id = cli.json("database", "instance", "create", name, *options)["id"]
    assert eventually(lambda: is_active(cli, name), WITHIN)
    (address,) = {one["address"] for one in cli.json("database", "instance", "show", instance_id)["addresses"]}
    assert usable(engine, address, "ada", PASSWORD)
    assert eventually(lambda: has_told_of_itself(cli, instance_id), WITHIN)

    cli.run("database", "user", "create", instance_id, "bob", PASSWORD)
    assert names(cli.json("database", "user", "list", instance_id)) == {"ada", "bob"}
    if has_databases:
        cli.run("database", "db", "create", instance_id, "second")
        assert names(cli.json("database", "db", "list", instance_id)) == {"app", "second"}
    assert cli.json("database", "root", "enable", instance_id)["password"]

    cli.run("database", "instance", "restart", instance_id)
    assert eventually(lambda: is_active(cli, name), WITHIN)
    assert usable(engine, address, "ada", PASSWORD)

    cli.run("database", "instance", "delete", instance_id)
    assert eventually(lambda: shown(cli, name) is None, WITHIN)
    assert bed.held() == before


def test_engine_and_data_come_back_with_the_server(bed: Bed, plane: ControlPlane, cli: Cli) -> None:
    options = ["--flavor", bed.flavor_id, "--size", "1", "--datastore", "mariadb", "--users", f"ada:{PASSWORD}"]
    instance_id = cli.json("database", "instance", "create", "db-reboot", *options, "--databases", "app")["id"]
    assert eventually(lambda: is_active(cli, "db-reboot"), WITHIN)
    (address,) = {one["address"] for one in cli.json("database", "instance", "show", instance_id)["addresses"]}
    assert usable("mariadb", address, "ada", PASSWORD)
    cloud = bed.connect()
    (server,) = cloud.compute.servers_of(instance_id)
    cloud.compute.reboot_server(server.key)
    assert eventually(lambda: usable("mariadb", address, "ada", PASSWORD), WITHIN)
    cli.run("database", "instance", "delete", instance_id)
    assert eventually(lambda: shown(cli, "db-reboot") is None, WITHIN)


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


def test_no_key_and_no_password_is_in_a_log(plane: ControlPlane) -> None:
    for name in ("api", "worker"):
        text = (plane.directory / f"{name}.log").read_text()
        assert "PRIVATE KEY" not in text
        assert PASSWORD not in text
        assert "user_data" not in text
