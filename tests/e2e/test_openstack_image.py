"""A built image, uploaded by `coffer image upload`, is what a database server on an OpenStack boots from, up to rows of a tenant.

On the testbed as it is by default the server is a set of namespaces; with TESTBED_VIRT=libvirt it is an emulated machine.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.image.overlay import RELEASES
from clouds.local import disks
from models import DatastoreVersion, FlavorRow
from tests.contract.clients.openstack_cli import Cli
from tests.contract.keystone.world import of_clouds
from tests.e2e.conftest import cli_of
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.engines import usable
from tests.support.local_guest import eventually
from tests.support.testbed import CLOUDS_FILE, Bed

pytestmark = [pytest.mark.openstack, pytest.mark.slow, pytest.mark.timeout(6000)]

PASSWORD = "Gr8-secret"
FLAVOR = "tb.small"
BUILD_SECONDS, ACTIVE_SECONDS, SILENT_SECONDS = 2400, 2400, 2400
"""An emulated machine on two busy cores takes its time."""
# systemd's part, where the testbed's servers have none: what the image's units run.  Machines do not look at it.
UNITS = (
    f"export PYTHONPATH=/{RELEASES}/base PYTHONSAFEPATH=1; rm -f /etc/coffer-guest/boot.json; "
    "/usr/bin/python3 -S -m guest_agent.firstboot files && exec /usr/bin/python3 -S -m guest_agent.boot"
)


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    """The file COFFER_TEST_DISK, with its list of contents beside it, or a fresh build."""
    if given := os.environ.get("COFFER_TEST_DISK"):
        yield Path(given)
        return
    if not disks.available():
        pytest.skip("an image is built by root, with loop devices")
    with tempfile.TemporaryDirectory(prefix="coffer-image-test-", dir="/var/tmp") as directory:
        path = Path(directory) / "coffer-mariadb.raw"
        argv = [sys.executable, "-m", "cli.main", "image", "build", "mariadb", "--format", "raw"]
        subprocess.run([*argv, "--output", str(path), "--work", directory], check=True, timeout=BUILD_SECONDS)
        yield path


@pytest.fixture
def plane(bed: Bed) -> Iterator[ControlPlane]:
    with tempfile.TemporaryDirectory(prefix="co-", dir="/tmp") as directory, pytest.MonkeyPatch.context() as patched:
        patched.setenv("OS_GUEST__NO_PROGRESS_DEADLINE", str(SILENT_SECONDS))
        with control_plane(Path(directory), bed) as plane:
            patched.setenv("HOME", directory)
            yield plane


def uploaded(plane: ControlPlane, disk: Path) -> str:
    """Its id in Glance, as the command says it; MariaDB's new servers boot from it."""
    argv = [sys.executable, "-m", "cli.main", "image", "upload", str(disk), "--register", "--json"]
    argv += ["--config", str(plane.directory / "coffer.conf")]
    told = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=600).stdout
    return str(json.loads(told)["image"])


def status(cli: Cli, name: str) -> str:
    """Empty when it is gone.  One in ERROR fails the test with its fault."""
    rows = [row for row in cli.json("database", "instance", "list") if row["Name"] == name]
    assert not rows or rows[0]["Status"] != "ERROR", cli.json("database", "instance", "show", rows[0]["ID"])
    return rows[0]["Status"] if rows else ""


def test_a_server_boots_the_image_and_serves(bed: Bed, disk: Path, plane: ControlPlane) -> None:
    before, cli = bed.held(), cli_of(of_clouds(Path(CLOUDS_FILE)), "alice")
    image_id = uploaded(plane, disk)
    bed.service.image.update_image(image_id, testbed_init=UNITS)
    flavor = bed.operator.compute.find_flavor(FLAVOR, ignore_missing=False)
    with plane.database.write() as s:
        s.add(FlavorRow(id=flavor.id, name="small", ram_mb=flavor.ram, vcpus=flavor.vcpus, disk_gb=flavor.disk))
        assert s.query(DatastoreVersion).filter_by(image_id=image_id, manager="mariadb").one().version == "10.11"

    options = ["--flavor", flavor.id, "--size", "1", "--datastore", "mariadb", "--databases", "app", "--users", f"ada:{PASSWORD}"]
    instance_id = cli.json("database", "instance", "create", "db-image", *options)["id"]
    assert eventually(lambda: status(cli, "db-image") == "ACTIVE", ACTIVE_SECONDS), cli.json("database", "instance", "list")
    (server,) = bed.connect().compute.servers_of(instance_id)
    assert bed.operator.compute.get_server(server.id).image.id == image_id
    (address,) = {one["address"] for one in cli.json("database", "instance", "show", instance_id)["addresses"]}
    assert eventually(lambda: usable("mariadb", address, "ada", PASSWORD), 120)

    cli.run("database", "instance", "delete", instance_id)
    assert eventually(lambda: status(cli, "db-image") == "", 600)
    assert bed.held() == before
