"""What a server does with what the control plane has sent: its directory, its data volume."""

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clouds.local import disks
from guest_agent.boot import __main__ as boot
from guest_agent.boot import layout, volume
from guest_agent.boot.layout import Place
from guest_agent.boot.settings import BootSettings
from guest_agent.errors import InvalidRequest
from guest_agent.init.units import UnitStore
from guest_agent.settings import Settings
from guests.keys import new_key_pair
from tests.support.local_guest import short_directory

LOGIN, HOST = new_key_pair(), new_key_pair()
VOLUME = "0f6bd5a2-9c1e-4f0a-8b7c-aaaabbbbcccc"
AGENT = {"instance_id": "instance-1", "manager": "redis", "version": "7.0", "ram_mb": 512}
TOLD: dict[str, Any] = {
    "protocol": 1,
    "agent": AGENT,
    "address": "10.0.0.7",
    "channel_port": 2222,
    "volume_id": VOLUME,
    "authorized_key": LOGIN.public,
    "host_key": HOST.private,
}
MOUNTS = pytest.mark.skipif(not disks.available(), reason="needs root and loop devices")


@pytest.fixture
def place() -> Iterator[Place]:
    with short_directory() as directory:
        yield Place(directory / "server")


def settings(directory: Path, **changes: Any) -> BootSettings:
    file = directory / "boot.json"
    file.write_text(json.dumps({**TOLD, **changes}))
    return BootSettings.load(file)


def test_the_directory_is_what_init_sshd_and_agent_expect(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "PRIVILEGE_SEPARATION_DIRECTORY", tmp_path / "sshd")
    for _ in range(2):  # each boot
        layout.write_server(place, settings(tmp_path))
    agent = Settings.load(str(place.root / "agent.json"))
    assert (agent.instance_id, agent.manager, agent.data_dir) == ("instance-1", "redis", place.data)
    units = UnitStore(str(place.root / "units"))
    assert units.names() == ["agent", "sshd"]
    assert units.read("agent").argv[-1] == str(place.root / "agent.json")
    key = (place.root / "authorized_keys").read_text()
    assert key.startswith('restrict,command="exec ')
    assert key.rstrip().endswith(" ".join(LOGIN.public.split()[:2]))
    for name in ("agent.json", "host_key", "authorized_keys", "sshd_config"):
        assert stat.S_IMODE((place.root / name).stat().st_mode) == 0o600, name


def test_sshd_accepts_its_configuration(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sshd = shutil.which("sshd", path=os.defpath + ":/usr/sbin")
    assert sshd, "sshd is missing: tools/bootstrap installs it"
    monkeypatch.setattr(layout, "PRIVILEGE_SEPARATION_DIRECTORY", tmp_path / "sshd")
    layout.write_server(place, settings(tmp_path))
    told = subprocess.run([sshd, "-T", "-f", place.root / "sshd_config"], capture_output=True, text=True, check=True).stdout
    for line in (
        "listenaddress 10.0.0.7:2222",
        "allowusers root",
        "permitrootlogin forced-commands-only",
        "passwordauthentication no",
        "disableforwarding yes",
    ):
        assert line in told.splitlines()


def test_what_a_reboot_has_left_does_not_pass_for_a_running_init(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "PRIVILEGE_SEPARATION_DIRECTORY", tmp_path / "sshd")
    layout.write_server(place, settings(tmp_path))
    (place.root / "run/init.pid").write_text("1\n")
    layout.write_server(place, settings(tmp_path))
    assert not (place.root / "run/init.pid").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"protocol": 2},
        {"unknown": 1},
        {"channel_port": 0},
        {"host_key": None},
        {"agent": []},
        {"authorized_key": "ssh-rsa AAAA"},
        {"authorized_key": LOGIN.public + "\nssh-ed25519 AAAA"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_it_does_not_understand_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        settings(tmp_path, **wrong)


def test_a_boot_that_fails_says_why_and_holds_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "boot.json"
    file.write_text(json.dumps({**TOLD, "protocol": 2}))
    assert boot.main(["--boot-file", str(file), "--server", str(tmp_path / "server")]) == 1
    assert boot.main(["--boot-file", str(tmp_path / "nothing"), "--server", str(tmp_path / "server")]) == 1
    said = capsys.readouterr().err
    assert "boot.json.protocol" in said
    assert "No such file" in said
    assert "PRIVATE KEY" not in said


# -- the data volume


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty disk that is known by the beginning of the volume's id, as hypervisors show it."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    attach = ["losetup", "--find", "--show", str(image)]
    device = subprocess.run(attach, capture_output=True, text=True, check=True).stdout.strip()
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (by_id / f"virtio-{VOLUME[:20]}").symlink_to(device)
    (by_id / "virtio-another").symlink_to("/dev/null")
    monkeypatch.setattr(volume, "BY_ID", by_id)
    yield Path(device)
    subprocess.run(["losetup", "--detach", device], check=True)


@MOUNTS
def test_a_new_volume_gets_a_file_system_and_keeps_it(disk: Path, tmp_path: Path) -> None:
    target = tmp_path / "data"
    try:
        for _ in range(2):
            volume.ensure_mounted(VOLUME, target)
        (target / "kept").write_text("row")
        subprocess.run(["umount", target], check=True)
        volume.ensure_mounted(VOLUME, target)
        assert (target / "kept").read_text() == "row"
    finally:
        subprocess.run(["umount", target], check=True)


@MOUNTS
def test_what_is_on_a_volume_is_never_formatted_away(disk: Path, tmp_path: Path) -> None:
    subprocess.run(["mkswap", disk], capture_output=True, check=True)
    with pytest.raises(subprocess.CalledProcessError):
        volume.ensure_mounted(VOLUME, tmp_path / "data")
    assert subprocess.run(["blkid", "-p", "-s", "TYPE", "-o", "value", disk], capture_output=True, check=True).stdout == b"swap\n"


def test_a_volume_that_does_not_appear_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume, "BY_ID", tmp_path)
    monkeypatch.setattr(volume, "APPEARS_WITHIN", 0.0)
    with pytest.raises(FileNotFoundError, match=VOLUME):
        volume.ensure_mounted(VOLUME, tmp_path / "data")
