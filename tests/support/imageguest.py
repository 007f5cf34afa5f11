"""Servers that boot a root file system of `coffer image build`: in namespaces of this host, and in an emulated machine."""

import base64
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.image import disk, rootfs
from cli.image.overlay import EPOCH, RELEASES
from clouds.openstack.userdata import user_data
from clouds.ports import GuestBoot
from guests.keys import new_key_pair
from guests.transport import Endpoint

CHANNEL_PORT = 2222
VERSIONS = {"mariadb": "10.11", "postgresql": "15", "redis": "7.0"}
PORTS = {"mariadb": 3306, "postgresql": 5432, "redis": 6379}
VOLUME_BYTES = 1 << 30
SERIAL_LENGTH = 20
NODES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}
EMULATOR_ADDRESS = "10.0.2.15"
"""What the emulator's DHCP server gives to the first one who asks."""


@dataclass(frozen=True)
class ImageGuest:
    """`sql`: host and port of the engine.  `console`: what the server said while it booted.  `root`: None inside an emulator."""

    endpoint: Endpoint
    sql: tuple[str, int]
    console: Path
    root: Path | None = None


def build_rootfs(engine: str, directory: Path) -> Path:
    """ENGINE.tar in the directory COFFER_TEST_ROOTFS if it is there, or a fresh build, which takes minutes."""
    given = Path(os.environ.get("COFFER_TEST_ROOTFS", "/nowhere")) / f"{engine}.tar"
    if given.exists():
        return given
    output = directory / f"{engine}.tar"
    argv = [sys.executable, "-m", "cli.main", "image", "build", engine, "--format", "tar"]
    subprocess.run([*argv, "--output", str(output), "--work", str(directory)], check=True, timeout=1800)
    return output


def _told(engine: str, address: str, volume_id: str, instance_id: str) -> tuple[dict[str, Any], Endpoint]:
    """What the control plane would say to the server, and how it then reaches it."""
    login, host = new_key_pair(), new_key_pair()
    boot = GuestBoot(instance_id, engine, VERSIONS[engine], 512, login.public, host.private)
    told = base64.b64decode(user_data(boot, address=address, channel_port=CHANNEL_PORT, volume_id=volume_id))
    return {"user_data": told}, Endpoint(instance_id, address, CHANNEL_PORT, login.private, host.public, "root")


def _write_config_drive(directory: Path, told: dict[str, Any], network_data: dict[str, Any] | None) -> None:
    latest = directory / "openstack/latest"
    latest.mkdir(parents=True)
    (latest / "user_data").write_bytes(told["user_data"])
    (latest / "meta_data.json").write_text(json.dumps({"uuid": str(uuid.uuid4()), "hostname": "guest-1.novalocal"}))
    if network_data is not None:
        (latest / "network_data.json").write_text(json.dumps(network_data))


# -- in namespaces


@contextlib.contextmanager
def namespace_guest(engine: str, archive: Path, directory: Path) -> Iterator[ImageGuest]:
    """Its own root, process tree, host name and network; the volume is a loop device."""
    here, address = "198.18.77.1", "198.18.77.2"
    volume_id, name = str(uuid.uuid4()), f"coffer-{os.getpid()}"
    root, config, console = directory / "root", directory / "config", directory / "console.log"
    told, endpoint = _told(engine, address, volume_id, str(uuid.uuid4()))
    _write_config_drive(config, told, {"links": [], "networks": []})
    root.mkdir()
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, root)
        _run("tar", "--extract", "--numeric-owner", "-C", str(root), "-f", str(archive))
        loop = _loop_device(directory / "volume", undo)
        _network(name, here, address, undo)
        script = directory / "enter"
        script.write_text(_entering(root, config, loop, volume_id))
        argv = [
            "ip",
            "netns",
            "exec",
            name,
            "unshare",
            "--mount",
            "--propagation",
            "slave",
            "--pid",
            "--fork",
            "--kill-child",
            "--uts",
            "--ipc",
            "sh",
            str(script),
        ]
        with console.open("wb") as said:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        undo.callback(_end, process)
        yield ImageGuest(endpoint, (address, PORTS[engine]), console, root)


def _entering(root: Path, config: Path, loop: str, volume_id: str) -> str:
    """What a kernel and udev do on a machine, and then the program of the image's unit.

    Mounts follow the host's: a private copy would keep the volumes of everybody else's servers busy.
    """
    lines = [
        "set -e",
        f"mount --bind {root} {root}",
        f"cd {root}",
        "mount -t proc proc proc",
        "mount -t sysfs -o ro sysfs sys",
        *(f"mount -t tmpfs tmpfs {name}" for name in ("run", "tmp", "dev")),
        "chmod 1777 tmp",
        *(f"mknod -m 666 dev/{name} c 1 {minor}" for name, minor in NODES.items()),
        "mkdir -p dev/shm dev/pts dev/disk/by-id mnt/config",
        "ln -s /proc/self/fd dev/fd",
        "mount -t tmpfs tmpfs dev/shm",
        f"cp -a {loop} dev/vdb",
        f"ln -s /dev/vdb dev/disk/by-id/virtio-{volume_id[:SERIAL_LENGTH]}",
        f"mount --bind {config} mnt/config",
        f"export PYTHONPATH=/{RELEASES}/base PYTHONSAFEPATH=1 PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8",
        f"chroot {root} /usr/bin/python3 -S -m guest_agent.firstboot network",
        f"chroot {root} /usr/bin/python3 -S -m guest_agent.firstboot files",
        f"exec chroot {root} /usr/bin/python3 -S -m guest_agent.boot",
    ]
    return "\n".join(lines) + "\n"


def _loop_device(image: Path, undo: contextlib.ExitStack) -> str:
    with image.open("wb") as file:
        file.truncate(VOLUME_BYTES)
    loop = _run("losetup", "--find", "--show", str(image)).strip()
    undo.callback(_run, "losetup", "--detach", loop)
    return loop


def _network(name: str, here: str, address: str, undo: contextlib.ExitStack) -> None:
    link = f"cof{os.getpid()}"
    _run("ip", "netns", "add", name)
    undo.callback(_run, "ip", "netns", "delete", name)
    _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
    _run("ip", "address", "add", f"{here}/30", "dev", link)
    _run("ip", "link", "set", link, "up")
    for words in (("address", "add", f"{address}/30", "dev", "eth0"), ("link", "set", "eth0", "up"), ("link", "set", "lo", "up")):
        _run("ip", "-n", name, *words)


# -- in an emulator


@contextlib.contextmanager
def emulated_guest(archive: Path, directory: Path) -> Iterator[ImageGuest]:
    """The disk as Nova would give it to a machine: config drive, volume, one card with DHCP, here forwarded to loopback ports."""
    raw, volume, drive, console = (directory / name for name in ("disk.raw", "volume.raw", "config.iso", "console.log"))
    volume_id = str(uuid.uuid4())
    told, endpoint = _told("mariadb", EMULATOR_ADDRESS, volume_id, str(uuid.uuid4()))
    _write_config_drive(directory / "config", told, None)
    _run("xorriso", "-as", "mkisofs", "-quiet", "-V", "config-2", "-R", "-J", "-o", str(drive), str(directory / "config"))
    disk.write_raw(archive, rootfs.digest(archive), raw, directory, EPOCH)
    os.truncate(raw, 3 << 30)
    with volume.open("wb") as file:
        file.truncate(VOLUME_BYTES)
    channel, sql = _free_port(), _free_port()
    forward = f"hostfwd=tcp:127.0.0.1:{channel}-:{CHANNEL_PORT},hostfwd=tcp:127.0.0.1:{sql}-:3306"
    argv = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max", "-smp", "2", "-m", "1024"]
    argv += ["-display", "none", "-no-reboot", "-serial", f"file:{console}"]
    argv += ["-drive", f"if=none,id=root,format=raw,cache=unsafe,file={raw}", "-device", "virtio-blk-pci,drive=root,bootindex=0"]
    argv += ["-drive", f"if=none,id=volume,format=raw,cache=unsafe,file={volume}"]
    argv += ["-device", f"virtio-blk-pci,drive=volume,serial={volume_id[:SERIAL_LENGTH]}"]
    argv += ["-device", "virtio-scsi-pci", "-drive", f"if=none,id=config,media=cdrom,readonly=on,file={drive}"]
    argv += ["-device", "scsi-cd,drive=config", "-device", "virtio-rng-pci"]
    argv += ["-netdev", f"user,id=net,{forward}", "-device", "virtio-net-pci,netdev=net"]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        reached = Endpoint(endpoint.instance_id, "127.0.0.1", channel, endpoint.private_key, endpoint.host_public_key, "root")
        yield ImageGuest(reached, ("127.0.0.1", sql), console)
    finally:
        _end(process)
        for path in (raw, volume, drive):
            path.unlink()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _run(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
