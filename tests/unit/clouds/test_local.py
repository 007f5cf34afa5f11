"""What only the embedded cloud does: host reboots, damaged state, enforced sizes, borrowed addresses."""

import dataclasses
import errno
import json
import logging
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from clouds.local import disks, initprocess, local_cloud, prepare_images, procfs, volumes
from clouds.local.networks import FIRST, LAST
from clouds.ports import Cloud, CloudError, Server, ServerStatus, VolumeStatus, WantPort, WantVolume
from guests.keys import new_key_pair
from tests.support.audit import inits_of, left_of
from tests.support.local_guest import eventually, short_directory, want_server

KEY = "coffer-1"
MOUNTS = pytest.mark.skipif(not disks.available(), reason="needs root and loop devices")


@pytest.fixture
def directory() -> Iterator[Path]:
    with short_directory() as directory:
        yield directory


@pytest.fixture
def cloud(directory: Path) -> Iterator[Cloud]:
    cloud = local_cloud(directory, agent_module="tests.support.echo_agent")
    yield cloud
    cloud.compute.delete_server(KEY)
    cloud.volumes.delete_volume(KEY)
    cloud.networks.delete_port(KEY)
    assert left_of(directory) == []


def make_volume(cloud: Cloud) -> str:
    return cloud.volumes.create_volume(WantVolume(KEY, "owner", 1)).id


def make_server(cloud: Cloud) -> Server:
    cloud.networks.create_port(WantPort(KEY, "owner"))
    make_volume(cloud)
    server = cloud.compute.create_server(want_server(KEY, new_key_pair(), new_key_pair()))
    assert server.status == ServerStatus.ACTIVE, server.fault
    return server


def show(cloud: Cloud) -> Server:
    server = cloud.compute.show_server(KEY)
    assert server is not None
    return server


def status_of_volume(cloud: Cloud) -> VolumeStatus:
    volume = cloud.volumes.show_volume(KEY)
    assert volume is not None
    return volume.status


def kill_all(directory: Path, server: Server) -> None:
    assert procfs.kill_server(directory / "servers" / server.id, server.address, 10)


class TestServers:
    def test_it_outlives_its_maker_and_is_nobodys_child(self, cloud: Cloud, directory: Path) -> None:
        [init] = inits_of(directory / "servers" / make_server(cloud).id)
        assert os.getsid(init) != os.getsid(0)
        assert init not in children_of(os.getpid())

    def test_its_environment_is_scrubbed(self, cloud: Cloud, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OS_PASSWORD", "canary")
        root = directory / "servers" / make_server(cloud).id
        assert eventually(lambda: (root / "run/agent.pid").exists())
        for pid in procfs.processes_of(root):
            assert b"canary" not in Path(f"/proc/{pid}/environ").read_bytes()

    def test_secrets_are_readable_by_their_owner_only(self, cloud: Cloud, directory: Path) -> None:
        root = directory / "servers" / make_server(cloud).id
        for name in ("host_key", "agent.json", "authorized_keys"):
            assert (root / name).stat().st_mode & 0o077 == 0
        holders = [path for path in directory.rglob("*") if path.is_file() and b"PRIVATE KEY" in head_of(path)]
        assert holders == [root / "host_key"]

    def test_its_agent_is_told_where_to_post_and_nobody_else_the_signature(
        self, cloud: Cloud, directory: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        want = want_server(KEY, new_key_pair(), new_key_pair())
        telemetry = {"post_to": {"url": "http://127.0.0.1:1/q", "signature": "canary"}, "period": 10}
        want = dataclasses.replace(want, boot=dataclasses.replace(want.boot, telemetry=MappingProxyType(telemetry)))
        cloud.networks.create_port(WantPort(KEY, "owner"))
        make_volume(cloud)
        server = cloud.compute.create_server(want)
        settings = directory / "servers" / server.id / "agent.json"
        assert json.loads(settings.read_text())["telemetry"] == telemetry
        assert [path for path in directory.rglob("*") if path.is_file() and b"canary" in path.read_bytes()] == [settings]
        assert "canary" not in f"{want!r} {want.boot!r} {server!r} {caplog.text}"
        assert hash(want.boot)

    def test_without_telemetry_its_agent_is_told_nothing(self, cloud: Cloud, directory: Path) -> None:
        settings = directory / "servers" / make_server(cloud).id / "agent.json"
        assert json.loads(settings.read_text())["telemetry"] is None

    def test_a_dead_init_is_a_server_that_is_off_and_stays_off(self, cloud: Cloud, directory: Path) -> None:
        server = make_server(cloud)
        assert eventually(lambda: (directory / "servers" / server.id / "run/init.sock").exists())
        kill_all(directory, server)
        assert show(cloud).status == ServerStatus.SHUTOFF
        again = cloud.compute.create_server(want_server(KEY, new_key_pair(), new_key_pair()))
        assert again.status == ServerStatus.SHUTOFF
        cloud.compute.reboot_server(KEY)
        assert show(cloud).status == ServerStatus.ACTIVE

    def test_a_reused_pid_is_not_taken_for_init(self, cloud: Cloud, directory: Path) -> None:
        server = make_server(cloud)
        root = directory / "servers" / server.id
        assert eventually(lambda: (root / "run/init.sock").exists())
        kill_all(directory, server)
        (root / "run/init.pid").write_text(f"{os.getpid()}\n")
        assert show(cloud).status == ServerStatus.SHUTOFF
        cloud.compute.reboot_server(KEY)
        assert len(inits_of(root)) == 1

    def test_an_init_whose_pid_file_is_lost_is_found(self, cloud: Cloud, directory: Path) -> None:
        root = directory / "servers" / make_server(cloud).id
        pid_file = root / "run/init.pid"
        assert eventually(pid_file.exists)
        pid_file.unlink()
        assert show(cloud).status == ServerStatus.ACTIVE

    @pytest.mark.parametrize("python", ["/bin/false", "/nonexistent/python"])
    def test_a_start_that_fails_says_why(self, cloud: Cloud, directory: Path, python: str) -> None:
        broken = local_cloud(directory, python=python)
        cloud.networks.create_port(WantPort(KEY, "owner"))
        make_volume(cloud)
        broken.compute.create_server(want_server(KEY, new_key_pair(), new_key_pair()))
        assert eventually(lambda: show(broken).status == ServerStatus.ERROR)
        assert show(broken).fault.startswith("init did not start")

    def test_what_ignores_the_end_of_its_server_ends_with_it(self, cloud: Cloud, directory: Path) -> None:
        server = make_server(cloud)
        root = directory / "servers" / server.id
        stray = subprocess.Popen(
            ["sh", "-c", 'trap "" TERM HUP; echo; while :; do sleep 1000; done'],
            env={"COFFER_SERVER": str(root), "PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert stray.stdout is not None
        stray.stdout.readline()
        cloud.compute.delete_server(KEY)
        assert stray.wait(5) == -signal.SIGKILL
        stray.stdout.close()

    def test_an_open_session_ends_with_its_server(self, cloud: Cloud, directory: Path) -> None:
        server = make_server(cloud)
        assert eventually(lambda: connects(server))
        with socket.create_connection((server.address, server.ssh_port)) as session:
            assert session.recv(100).startswith(b"SSH-")
            cloud.compute.delete_server(KEY)
            session.settimeout(5)
            assert drained(session)
        assert left_of(directory, [server.address]) == [f"file {path}" for path in sorted(directory.glob("[pv]*/*"))] + [
            f"loop device {device}" for device in disks.loop_devices(directory)
        ]

    def test_a_path_too_long_for_sockets_is_refused(self, directory: Path) -> None:
        cloud = local_cloud(directory / ("d" * 80))
        cloud.networks.create_port(WantPort(KEY, "owner"))
        make_volume(cloud)
        with pytest.raises(CloudError, match="shorter") as refused:
            cloud.compute.create_server(want_server(KEY, new_key_pair(), new_key_pair()))
        assert refused.value.status == 400
        assert cloud.compute.show_server(KEY) is None
        cloud.volumes.delete_volume(KEY)

    @pytest.mark.parametrize("key", ["", "ssh-rsa AAAA", 'ssh-ed25519 AAAA\ncommand="id" ssh-ed25519 BBBB'])
    def test_an_odd_key_is_refused(self, cloud: Cloud, key: str) -> None:
        cloud.networks.create_port(WantPort(KEY, "owner"))
        make_volume(cloud)
        want = want_server(KEY, new_key_pair(), new_key_pair())
        with pytest.raises(CloudError) as refused:
            cloud.compute.create_server(dataclasses.replace(want, boot=dataclasses.replace(want.boot, authorized_key=key)))
        assert refused.value.status == 400


class TestNetworks:
    def test_addresses_are_loopback_and_of_our_range(self, cloud: Cloud) -> None:
        address = cloud.networks.create_port(WantPort(KEY, "owner")).address
        assert 64 <= int(address.split(".")[1]) <= 254
        assert address.startswith("127.")

    @pytest.mark.parametrize("address", ["127.0.0.1", "127.63.255.255", str(FIRST), str(LAST), "127.255.0.1", "10.64.0.1"])
    def test_others_are_refused(self, cloud: Cloud, address: str) -> None:
        with pytest.raises(CloudError) as refused:
            cloud.networks.create_port(WantPort(KEY, "owner", ip_address=address))
        assert refused.value.status == 400

    @pytest.mark.parametrize("port", [2222, 3306, 5432, 6379])
    def test_an_address_where_something_listens_is_passed_over(self, cloud: Cloud, port: int) -> None:
        address = cloud.networks.create_port(WantPort(KEY, "owner")).address
        cloud.networks.delete_port(KEY)
        with socket.create_server((address, port)):
            assert cloud.networks.create_port(WantPort(KEY, "owner")).address != address

    def test_a_port_in_use_stays(self, cloud: Cloud) -> None:
        make_server(cloud)
        with pytest.raises(CloudError) as refused:
            cloud.networks.delete_port(KEY)
        assert refused.value.status == 409


@MOUNTS
class TestMountedVolumes:
    def test_the_size_is_enforced_over_all_files(self, cloud: Cloud, directory: Path) -> None:
        data = directory / "volumes" / make_volume(cloud) / "data"
        assert list(data.iterdir()) == []
        with (data / "one").open("wb") as one, (data / "two").open("wb") as two:
            os.posix_fallocate(one.fileno(), 0, 900 << 20)
            with pytest.raises(OSError, match="No space") as full:
                os.posix_fallocate(two.fileno(), 0, 200 << 20)
        assert full.value.errno == errno.ENOSPC

    def test_the_image_is_sparse(self, cloud: Cloud, directory: Path) -> None:
        image = directory / "volumes" / make_volume(cloud) / "disk"
        assert image.stat().st_size == 1 << 30
        assert image.stat().st_blocks * 512 < 4 << 20

    def test_a_server_mounts_again_what_a_reboot_of_the_host_unmounted(self, cloud: Cloud, directory: Path) -> None:
        server = make_server(cloud)
        volume = directory / "volumes" / volume_id(cloud)
        (volume / "data/kept").write_text("kept")
        kill_all(directory, server)
        disks.ensure_unmounted(volume / "disk", volume / "data")
        assert list((volume / "data").iterdir()) == []
        cloud.compute.reboot_server(KEY)
        assert (volume / "data/kept").read_text() == "kept"

    def test_a_second_mount_over_the_first_is_undone(self, cloud: Cloud, directory: Path) -> None:
        volume = directory / "volumes" / make_volume(cloud)
        subprocess.run(["mount", "-t", "tmpfs", "none", str(volume / "data")], check=True)
        assert disks.mount_count(volume / "data") == 2
        disks.ensure_mounted(volume / "disk", volume / "data")
        assert disks.mount_count(volume / "data") == 1

    def test_a_loop_device_left_without_mount_is_freed(self, cloud: Cloud, directory: Path) -> None:
        volume = directory / "volumes" / make_volume(cloud)
        disks.ensure_unmounted(volume / "disk", volume / "data")
        subprocess.run(["losetup", "--find", str(volume / "disk")], check=True)
        assert len(disks.loop_devices(directory)) == 1
        disks.ensure_mounted(volume / "disk", volume / "data")
        assert len(disks.loop_devices(directory)) == 1
        assert disks.mount_count(volume / "data") == 1

    def test_a_lost_image_is_an_error_and_can_be_removed(self, cloud: Cloud, directory: Path) -> None:
        volume = directory / "volumes" / make_volume(cloud)
        (volume / "disk").unlink()
        assert status_of_volume(cloud) == VolumeStatus.ERROR
        cloud.volumes.delete_volume(KEY)
        assert left_of(directory) == []

    def test_a_volume_that_is_busy_is_removed_all_the_same(
        self, cloud: Cloud, directory: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disks, "RELEASE_SECONDS", 0.2)
        volume = directory / "volumes" / make_volume(cloud)
        with (volume / "data/open").open("w"), pytest.raises(CloudError, match="cannot be removed yet"):
            cloud.volumes.delete_volume(KEY)
        cloud.volumes.delete_volume(KEY)
        assert left_of(directory) == []

    def test_names_with_spaces_are_found_among_the_mounts(self, directory: Path) -> None:
        cloud = local_cloud(directory / "a b")
        make_volume(cloud)
        assert len([point for point in disks.mount_points() if point.is_relative_to(directory / "a b")]) == 1
        cloud.volumes.delete_volume(KEY)
        assert left_of(directory / "a b") == []


class TestPlainVolumes:
    @pytest.fixture(autouse=True)
    def _no_loops(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(disks, "available", lambda: False)

    def test_every_process_of_the_server_has_the_limit(
        self, cloud: Cloud, directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(volumes, "_warned", False)
        server = make_server(cloud)
        root = directory / "servers" / server.id
        assert eventually(lambda: (root / "run/agent.pid").exists() and (root / "run/sshd.pid").exists())
        for name in ("init", "agent", "sshd"):
            pid = int((root / f"run/{name}.pid").read_text())
            assert resource.prlimit(pid, resource.RLIMIT_FSIZE) == (1 << 30, 1 << 30)
        make_volume(cloud)
        assert [record.levelname for record in caplog.records if "plain directories" in record.message] == ["WARNING"]

    def test_it_is_used_where_mounting_is_forbidden(self, cloud: Cloud, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def forbidden(*_: object) -> None:
            raise PermissionError(errno.EPERM, "mount: Operation not permitted")

        monkeypatch.setattr(disks, "available", lambda: True)
        monkeypatch.setattr(disks, "ensure_mounted", forbidden)
        id = make_volume(cloud)
        assert status_of_volume(cloud) == VolumeStatus.AVAILABLE
        assert json.loads((directory / f"volumes/{id}.json").read_text())["kind"] == volumes.DIRECTORY
        assert not (directory / "volumes" / id / "disk").exists()


def test_a_stop_that_takes_too_long_is_cut_short(cloud: Cloud, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initprocess, "STOP_SECONDS", 0.2)
    root = directory / "servers" / make_server(cloud).id
    [init] = inits_of(root)
    os.kill(init, signal.SIGSTOP)
    cloud.compute.reboot_server(KEY)
    [other] = inits_of(root)
    assert other != init


def volume_id(cloud: Cloud) -> str:
    volume = cloud.volumes.show_volume(KEY)
    assert volume is not None
    return volume.id


def children_of(pid: int) -> set[int]:
    return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def connects(server: Server) -> bool:
    try:
        socket.create_connection((server.address, server.ssh_port), timeout=1).close()
    except OSError:
        return False
    return True


def drained(session: socket.socket) -> bool:
    """The other end has closed it."""
    try:
        while session.recv(1000):
            continue
    except ConnectionResetError:
        return True
    return True


def head_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


class TestImages:
    def test_every_server_is_told_where_its_image_keeps_templates(self, cloud: Cloud, directory: Path) -> None:
        settings = json.loads((directory / "servers" / make_server(cloud).id / "agent.json").read_text())
        assert settings["template_dir"] == str(directory / "images")

    @pytest.mark.parametrize("python", ["/bin/false", "/nonexistent/python"])
    def test_what_cannot_be_prepared_is_said(self, directory: Path, python: str) -> None:
        with pytest.raises(CloudError, match="No template of mariadb can be made"):
            prepare_images(directory, python=python)

    @pytest.mark.engines
    def test_what_is_prepared_lies_there_once(self, directory: Path) -> None:
        for _ in range(2):
            prepare_images(directory)
        assert len(list((directory / "images").glob("mariadb-*/template.json"))) == 1
        assert left_of(directory) == [f"file {directory / 'images'}"]
