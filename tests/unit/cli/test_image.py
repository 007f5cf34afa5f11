"""`coffer image`: where packages come from, what is laid over the root file system, the list of contents, refusals."""

import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.errors import CliError
from cli.image import build, mirror, overlay, rootfs, sbom, upload
from cli.image.recipes import RECIPES
from cli.main import main
from clouds.local import disks
from guests.archive import DRIVERS, Archive, ArchiveError, build_archive

STANZAS = """\
# the mirror of this machine
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://other.example/tool
Suites: stable
Components: main

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
Components: main
"""
LINES = """\
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib
deb-src http://mirror.example/debian bookworm main
# deb http://off.example/debian bookworm main
deb http://mirror.example/debian-security bookworm-security main
deb http://other.example/apt stable main
"""
STATUS = """\
Package: mariadb-server
Status: install ok installed
Architecture: amd64
Version: 1:10.11.18-0+deb12u1
Description: database server
 Version: of no matter

Package: half
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2024a-0+deb12u1
"""


@pytest.fixture(scope="module")
def archive() -> Archive:
    return build_archive()


def test_sources_are_those_of_this_machine_for_the_suite(tmp_path: Path) -> None:
    lists = tmp_path / "sources.list.d"
    lists.mkdir()
    (lists / "debian.sources").write_text(STANZAS)
    (tmp_path / "sources.list").write_text(LINES)
    found = mirror.sources(tmp_path)
    assert "http://mirror.example/debian\n" in found
    assert "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg" in found
    assert "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main contrib" in found
    assert "bookworm-security" in found
    assert not [word for word in ("off.example", "other.example", "sources.example", "deb-src") if word in found]


def test_a_machine_without_sources_is_told_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CliError) as refused:
        mirror.sources(tmp_path)
    assert "bookworm" in refused.value.hint


def test_proxies_of_apt_are_taken_over_and_nothing_else() -> None:
    dumped = 'APT "";\nAcquire::http::Proxy "http://proxy.example:3142";\nAcquire::https::Proxy "";\nDpkg::Options "x";\n'
    assert mirror.options(dumped) == ['Acquire::http::Proxy "http://proxy.example:3142";']


def test_the_overlay_is_the_same_each_time_and_all_of_it_roots(archive: Archive, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for path in (first, second):
        overlay.write(path, RECIPES["mariadb"], archive, overlay.EPOCH)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as members:
        found = {member.name: member for member in members}
    assert all((member.uid, member.gid, member.mtime) == (0, 0, overlay.EPOCH) for member in found.values())
    assert found["opt/coffer-agent/current"].linkname == archive.release
    assert f"opt/coffer-agent/{archive.release}/guest_agent/boot/sshd_config.template" in found
    assert found["etc/systemd/system/mariadb.service"].linkname == "/dev/null"
    wanted = [member for name, member in found.items() if ".wants/coffer-" in name]
    assert {member.linkname.removeprefix("/") for member in wanted} <= set(found)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_units_are_understood_by_systemd_itself(tmp_path: Path) -> None:
    names = []
    for path, text in overlay.files(RECIPES["mariadb"]).items():
        if path.endswith(".service"):
            names.append(tmp_path / Path(path).name)
            names[-1].write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "coffer-" in line and "python3" not in line]
    assert complaints == []


def test_the_archive_holds_the_agent_its_drivers_and_no_machine_code(archive: Archive) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive.content)) as members:
        names = members.getnames()
        manifest = json.load(members.extractfile("manifest.json") or io.StringIO())
    assert names == sorted(names)
    assert {
        "guest_agent/service.py",
        "guest_agent/boot/__main__.py",
        "vendor/pymysql/__init__.py",
        "vendor/redis/__init__.py",
    } <= set(names)
    assert {"vendor/psycopg/__init__.py", "vendor/typing_extensions.py", "vendor/async_timeout/__init__.py"} <= set(names)
    assert not [name for name in names if name.endswith((".so", ".pyc")) or "psycopg_binary" in name]
    assert set(manifest["packages"]) == set(DRIVERS)
    assert build_archive().sha256 == archive.sha256


def test_a_driver_that_was_tampered_with_is_not_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guests.archive._record_digest", lambda content, algorithm: "another")
    with pytest.raises(ArchiveError, match="is not what was installed"):
        build_archive()


def test_what_is_installed_is_listed(tmp_path: Path, archive: Archive) -> None:
    root = tmp_path / "rootfs.tar"
    with tarfile.open(root, "w") as made:
        member = tarfile.TarInfo("./var/lib/dpkg/status")
        member.size = len(STATUS.encode())
        made.addfile(member, io.BytesIO(STATUS.encode()))
    document = sbom.describe(root, archive, "ab" * 32, "coffer-mariadb")
    versions = {component["name"]: component["version"] for component in document["components"]}
    assert versions["tzdata"] == "2024a-0+deb12u1"
    assert "half" not in versions
    assert versions["coffer-guest-agent"] == archive.version
    assert sbom.version_of(document["components"], "mariadb-server") == "10.11.18"
    assert document == sbom.describe(root, archive, "ab" * 32, "coffer-mariadb")
    image = tmp_path / "disk.qcow2"
    sbom.write(document, tmp_path / "disk.qcow2.cdx.json")
    described = upload.describe(image)
    assert (described.recipe.engine, described.version, described.rootfs_sha256) == ("mariadb", "10.11", "ab" * 32)


def test_mmdebstrap_is_told_no_place_of_ours(tmp_path: Path) -> None:
    argv = rootfs.command(RECIPES["postgresql"], tmp_path, tmp_path / "out", None)
    assert "://" not in " ".join(argv)
    assert argv[-1] == str(tmp_path / "sources")
    assert any("postgresql-15" in word for word in argv)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["mariadb", "--register"], "--register needs --upload"),
        (["mariadb", "--upload", "--format", "tar"], "cannot be uploaded"),
        (["oracle"], "'oracle' is not one of"),
    ],
)
def test_requests_that_cannot_be_met_are_refused_before_anything_is_done(words: list[str], told: str) -> None:
    done = CliRunner().invoke(main, ["image", "build", *words])
    assert done.exit_code != 0
    assert told in done.output


def test_building_needs_root_and_its_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CliError, match="only root") as refused:
        build.check("qcow2", tmp_path)
    assert "sudo" in refused.value.hint
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda program: None)
    with pytest.raises(CliError, match="programs are missing: dosfstools") as refused:
        build.check("qcow2", tmp_path)
    assert "apt-get install" in refused.value.hint


def test_a_file_without_its_contents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="does not say what"):
        upload.describe(tmp_path / "disk.qcow2")


# -- where it is built


MOUNTINFO = """\
22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 7:0 / /srv/coffer/volume\\0401 rw - ext4 /dev/loop0 rw
31 22 7:1 / /var/work rw shared:7 - ext4 /dev/loop1 rw
32 31 7:2 / /var/work/inner rw shared:8 master:2 - ext4 /dev/loop2 rw
33 22 0:5 / /dev rw - tmpfs tmpfs rw
"""


def test_mounted_loop_devices_are_left_but_for_those_with_something_needed() -> None:
    assert rootfs.loop_mounts(MOUNTINFO, [Path("/var/work/here")]) == ["/var/work/inner", "/srv/coffer/volume 1"]
    assert rootfs.loop_mounts(MOUNTINFO, [Path("/tmp"), Path("/var/work/inner/x")]) == ["/srv/coffer/volume 1"]


@pytest.mark.skipif(not disks.available(), reason="needs root and loop devices")
def test_a_build_keeps_no_local_volume_busy(tmp_path: Path) -> None:
    image, volume, work = tmp_path / "image", tmp_path / "a volume", tmp_path / "work"
    for directory in (volume, work):
        directory.mkdir()
    disks.make_image(image, 64 << 20)
    disks.ensure_mounted(image, volume)
    try:
        # Of its own mounts it makes a private copy, as mmdebstrap does.
        private = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo began; read end"]
        with subprocess.Popen(rootfs.alone(private, [work]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as build_:
            assert build_.stdout
            assert build_.stdout.readline() == "began\n"
            assert disks.mount_count(volume) == 1
            disks.ensure_unmounted(image, volume)
            assert disks.loop_devices(image) == []
            build_.communicate("end\n")
    finally:
        disks.ensure_unmounted(image, volume)
