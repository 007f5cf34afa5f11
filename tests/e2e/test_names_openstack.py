"""A database that is found by its name: the unmodified `openstack` command shows it, a real nameserver knows it, and it is gone with the database."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.clients.openstack_cli import Cli
from tests.contract.keystone.world import of_clouds
from tests.e2e.conftest import cli_of
from tests.e2e.test_openstack import PASSWORD, SHORT, WITHIN, becomes, deleted, options
from tests.support.cloudaudit import audit, more_than
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.engines import usable
from tests.support.local_guest import eventually
from tests.support.stack import coffer
from tests.support.testbed import CLOUDS_FILE, ZONE, Bed
from tests.support.testbed import testbed as connected

pytestmark = [pytest.mark.openstack, pytest.mark.engines, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    if not CLOUDS_FILE:
        pytest.skip("COFFER_TESTBED_CLOUDS names no OpenStack")
    with connected() as found:
        if not found.zone():
            pytest.skip("this OpenStack has no Designate (TESTBED_DNS=1)")
        yield found


@pytest.fixture(scope="module")
def plane(bed: Bed) -> Iterator[ControlPlane]:
    with (
        tempfile.TemporaryDirectory(prefix="co-", dir="/tmp") as directory,
        control_plane(Path(directory), bed, options=f"[dns]\nzone = {ZONE}\n") as plane,
    ):
        yield plane


@pytest.fixture(scope="module")
def alice(plane: ControlPlane) -> Cli:
    return cli_of(of_clouds(Path(CLOUDS_FILE)), "alice")


def test_a_database_is_found_by_its_name_as_long_as_it_is_there(bed: Bed, plane: ControlPlane, alice: Cli) -> None:
    before = audit(bed)
    with bed.tenant("alice") as who:
        network = who.network.find_network("private", ignore_missing=False)
    where = ["--nic", f"net-id={network.id}", "--is-public"]
    instance_id = alice.json("database", "instance", "create", "db-named", *options(bed, SHORT), *where)["id"]
    becomes(alice, "db-named", "ACTIVE")
    shown = alice.json("database", "instance", "show", instance_id)
    assert shown["hostname"] == f"{instance_id}.{ZONE}"
    public, private = ({one["address"] for one in shown["addresses"] if one["type"] == type} for type in ("public", "private"))
    assert set(bed.resolve(shown["hostname"])) == public
    assert usable(SHORT, *bed.resolve(shown["hostname"]), "ada", PASSWORD)

    alice.run("database", "instance", "update", "db-named", "--allowed-cidr", "10.99.10.0/24")
    assert eventually(lambda: set(bed.resolve(shown["hostname"])) == private, WITHIN)

    deleted(alice, "db-named")
    assert eventually(lambda: bed.resolve(shown["hostname"]) == [], WITHIN)
    assert more_than(bed, before) == []


def test_the_zone_is_checked(bed: Bed, plane: ControlPlane) -> None:
    file = plane.directory / "coffer.conf"
    told = coffer("openstack", "bootstrap", "--dry-run", "--config", str(file), timeout=300).stdout
    assert [line.split()[:3] for line in told.splitlines() if line.startswith("zone")] == [["zone", ZONE, "there"]]
    other = plane.directory / "other.conf"
    other.write_text(file.read_text().replace(f"zone = {ZONE}", "zone = nowhere.example"))
    for command in (["openstack", "bootstrap", "--dry-run"], ["status"]):
        told = coffer(*command, "--config", str(other), timeout=300).stdout
        assert "nowhere.example" in told
        assert "openstack zone create" in told
