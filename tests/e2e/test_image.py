"""A guest image is built, has nothing in it that it must not have, boots, and serves: in namespaces and in an emulated machine."""

import contextlib
import json
import re
import shutil
import socket
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pymysql
import pytest

from cli.image.build import TOOLS
from cli.image.recipes import RECIPES
from clouds.local import disks
from guests.errors import GuestUnreachable
from guests.jobs import run_job
from guests.pool import GuestPool
from guests.upgrade import upgrade_agent
from tests.guest_agent.releases import release
from tests.support.imageguest import VERSIONS, ImageGuest, build_rootfs, emulated_guest, namespace_guest
from tests.support.local_guest import eventually

BUILDER = shutil.which("mmdebstrap") is not None and disks.available()
EMULATOR = BUILDER and all(shutil.which(program) for program in ("qemu-system-x86_64", "xorriso", *TOOLS))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(not BUILDER, reason="needs root, loop devices and mmdebstrap"),
]
PRIVATE_KEY = re.compile(rb"\s*-----BEGIN [A-Z ]*PRIVATE KEY")
SPEC: dict[str, Any] = {
    "databases": [{"name": "shop"}],
    "users": [{"name": "ada", "password": "first-password", "databases": [{"name": "shop"}]}],
}


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """On disk: an image is too large for a /tmp in memory."""
    path = Path(tempfile.mkdtemp(prefix="coffer-image-test-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def rootfs(scratch: Path) -> Path:
    return build_rootfs("mariadb", scratch)


@pytest.fixture
def pool() -> Iterator[GuestPool]:
    pool = GuestPool()
    yield pool
    pool.close()


def wait_for_hello(pool: GuestPool, guest: ImageGuest, seconds: float) -> dict[str, Any]:
    def hello() -> dict[str, Any]:
        with contextlib.suppress(GuestUnreachable), pool.connected(guest.endpoint) as client:
            return client.call("hello", deadline=60)
        return {}

    answer = eventually(hello, seconds)
    assert answer, guest.console.read_text(errors="replace")[-3000:]
    return answer


def prepare(pool: GuestPool, guest: ImageGuest, engine: str, boots_within: float, spec: dict[str, Any]) -> str:
    """From the first answer to the engine's version."""
    hello = wait_for_hello(pool, guest, boots_within)
    assert (hello["datastore"], hello["engine"]) == (engine, "none")
    run = partial(run_job, partial(pool.connected, guest.endpoint), call_deadline=60, no_progress_deadline=600)
    return str(run(f"{uuid.uuid4()}-prepare", 1, "prepare", spec, on_progress=lambda _: None)["version"])


def asked(guest: ImageGuest, *statements: str) -> object:
    """What the last one of them gives."""
    host, port = guest.sql
    with pymysql.connect(
        host=host, port=port, user="ada", password="first-password", database="shop", autocommit=True, connect_timeout=60
    ) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        ((value,),) = cursor.fetchall()
    return value


def write_and_read(guest: ImageGuest) -> object:
    return asked(guest, "CREATE TABLE IF NOT EXISTS t (n INT PRIMARY KEY)", "REPLACE INTO t VALUES (7)", "SELECT n FROM t")


def beginning(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = archive.extractfile(member)
    assert content is not None
    return content.read(64)


def check_contents(rootfs: Path, engine: str) -> None:
    """It identifies no machine and holds no key, and no service of its packages runs by itself."""
    with tarfile.open(rootfs) as archive:
        members = {member.name.removeprefix("./"): member for member in archive}
        assert members["etc/machine-id"].size == 0
        shadow = archive.extractfile(members["etc/shadow"])
        assert shadow is not None
        assert all(line.split(b":")[1] in (b"*", b"!", b"!*") for line in shadow.read().splitlines())
        assert [member.name for member in archive if member.isreg() and PRIVATE_KEY.match(beginning(archive, member))] == []
    forbidden = re.compile(
        r"etc/ssh/ssh_host_|etc/hostname$|\.resolv\.conf|snakeoil|(^|/)\.[a-z]*_history$|var/lib/mysql/.|var/log/.*\.log"
        r"|var/cache/apt/.*\.deb$|var/lib/apt/lists/.*(Packages|Release)|var/lib/systemd/random-seed|authorized_keys|boot\.json"
    )
    assert [name for name in members if forbidden.search(name)] == []
    for service in ("ssh.service", *RECIPES[engine].services):
        assert members[f"etc/systemd/system/{service}"].linkname == "/dev/null"
    assert max(member.mtime for member in members.values()) <= 1735689600


def test_the_image_identifies_no_machine_and_holds_no_key(rootfs: Path) -> None:
    check_contents(rootfs, "mariadb")


def test_its_contents_are_listed(rootfs: Path) -> None:
    listed = json.loads(rootfs.with_name(rootfs.name + ".cdx.json").read_text())
    versions = {component["name"]: component["version"] for component in listed["components"]}
    assert {"mariadb-server", "openssh-server", "python3", "PyMySQL", "psycopg", "redis", "coffer-guest-agent"} <= set(versions)
    assert all(versions.values())


def test_it_boots_in_namespaces_and_its_agent_is_replaced(rootfs: Path, scratch: Path, pool: GuestPool) -> None:
    directory = scratch / "namespace"
    directory.mkdir()
    with namespace_guest("mariadb", rootfs, directory) as guest:
        assert prepare(pool, guest, "mariadb", 120, SPEC).startswith("10.11.")
        assert write_and_read(guest) == 7
        assert guest.root is not None
        first = (guest.root / "opt/coffer-agent/current").readlink().name
        archive = release(scratch / "next")
        connect = partial(pool.connected, guest.endpoint)
        done = upgrade_agent(connect, "op-upgrade", 2, archive, on_progress=lambda _: None)
        assert done == {"release": archive.release, "previous": first}
        assert wait_for_hello(pool, guest, 60)["release"] == archive.release
        assert write_and_read(guest) == 7


@pytest.mark.parametrize("engine", ["postgresql", "redis"])
def test_images_of_the_other_engines_serve(scratch: Path, pool: GuestPool, engine: str) -> None:
    directory = scratch / engine
    directory.mkdir()
    archive = build_rootfs(engine, directory)
    check_contents(archive, engine)
    with namespace_guest(engine, archive, directory) as guest:
        user = {"name": "ada", "password": "first-password"}
        assert prepare(pool, guest, engine, 120, {"users": [user]}).startswith(VERSIONS[engine])
        socket.create_connection(guest.sql, timeout=10).close()
        with pool.connected(guest.endpoint) as client:
            assert [one["name"] for one in client.call("users.list")["users"]] == ["ada"]


@pytest.mark.skipif(not EMULATOR, reason="needs qemu-system-x86, xorriso and what makes disks")
def test_its_disk_boots_a_machine(rootfs: Path, scratch: Path, pool: GuestPool) -> None:
    directory = scratch / "machine"
    directory.mkdir()
    with emulated_guest(rootfs, directory) as guest:
        assert prepare(pool, guest, "mariadb", 1200, SPEC).startswith("10.11.")
        assert write_and_read(guest) == 7
        assert asked(guest, "SELECT @@hostname") == "guest-1", "the host name of the config drive is not there"
