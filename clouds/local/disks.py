"""Disk images mounted by loop devices, by system calls: no helper program that could outlive a killed caller and act late."""

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
import struct
import subprocess
import time
from pathlib import Path

CONTROL = Path("/dev/loop-control")
LOOP_CLR_FD = 0x4C01
LOOP_CONFIGURE = 0x4C0A
LOOP_CTL_GET_FREE = 0x4C82
LO_FLAGS_AUTOCLEAR = 4
MS_NOATIME = 1024
MS_NOSUID = 2
MS_NODEV = 4
MNT_DETACH = 2
RELEASE_SECONDS = 5.0
ATTEMPTS = 32
POLL_SECONDS = 0.01

_libc = ctypes.CDLL(None, use_errno=True)


def make_image(image: Path, size: int) -> None:
    """A sparse file with an empty ext4 in it.  Appears under its name only when complete."""
    for leftover in image.parent.glob(f"{image.name}.*"):
        leftover.unlink(missing_ok=True)
    new = image.with_name(f"{image.name}.{os.getpid()}-{time.monotonic_ns()}")
    with new.open("wb") as file:
        file.truncate(size)
    fast = ["-m", "0", "-J", "size=4", "-O", "^resize_inode", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]
    made = subprocess.run(["mkfs.ext4", "-q", "-F", *fast, str(new)], capture_output=True, text=True, timeout=60, check=False)
    if made.returncode:
        new.unlink()
        raise OSError(errno.EIO, f"mkfs.ext4: {made.stderr.strip()[-300:]}")
    new.replace(image)


def available() -> bool:
    """Whether it is worth trying: the mount itself has the last word."""
    return os.geteuid() == 0 and shutil.which("mkfs.ext4") is not None and os.access(CONTROL, os.R_OK | os.W_OK)


def ensure_mounted(image: Path, target: Path) -> None:
    """Exactly one mount of `image` at `target`, whatever an earlier attempt or a reboot has left."""
    mounts = mount_count(target)
    while mounts > 1:
        _umount(target, 0)
        mounts -= 1
    if mounts == 1:
        return
    release(image)
    loop = _attach(image)
    try:
        if _libc.mount(os.fsencode(loop[1]), os.fsencode(target), b"ext4", MS_NOATIME | MS_NOSUID | MS_NODEV, None):
            raise OSError(ctypes.get_errno(), f"mount {target}: {os.strerror(ctypes.get_errno())}")
    finally:
        # From here on only the mount keeps the device; without one the kernel frees it.
        os.close(loop[0])


def ensure_unmounted(image: Path, target: Path) -> None:
    while mount_count(target):
        until = time.monotonic() + RELEASE_SECONDS
        while not _umount(target, 0):
            if time.monotonic() > until:
                _umount(target, MNT_DETACH)
                break
            time.sleep(POLL_SECONDS)
    release(image)


def release(image: Path) -> None:
    """No loop device holds the image; raises OSError EBUSY when one does after a while."""
    until = time.monotonic() + RELEASE_SECONDS
    while devices := loop_devices(image):
        for device in devices:
            with contextlib.suppress(OSError), Path(device).open("rb") as file:
                fcntl.ioctl(file, LOOP_CLR_FD, 0)
        if time.monotonic() > until:
            raise OSError(errno.EBUSY, f"{image} is held by {', '.join(devices)}")
        if loop_devices(image):
            time.sleep(POLL_SECONDS)


def loop_devices(under: Path) -> list[str]:
    """Loop devices whose file is `under` or lies below it, also when the file has been removed."""
    found = []
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):
            file = Path(entry.read_text().rstrip("\n").removesuffix(" (deleted)"))
            if file.is_relative_to(under):
                found.append(f"/dev/{entry.parent.parent.name}")
    return found


def mount_points() -> list[Path]:
    """One entry per mount: a directory that is mounted over twice is there twice."""
    fields = (line.split()[4] for line in Path("/proc/self/mountinfo").read_bytes().splitlines())
    return [Path(os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), field))) for field in fields]


def mount_count(target: Path) -> int:
    return mount_points().count(target)


def _umount(target: Path, flags: int) -> bool:
    """False when it is busy."""
    if _libc.umount2(os.fsencode(target), flags) == 0:
        return True
    if (code := ctypes.get_errno()) == errno.EBUSY:
        return False
    if code == errno.EINVAL:  # somebody else was faster
        return True
    raise OSError(code, f"umount {target}: {os.strerror(code)}")


def _attach(image: Path) -> tuple[int, str]:
    """An open loop device over the image; the kernel frees it with its last user."""
    with CONTROL.open("rb+", buffering=0) as control, image.open("rb+", buffering=0) as file:
        # struct loop_config: fd, block size, struct loop_info64 (flags at 52, file name at 56, 232 bytes), reserved
        info = struct.pack("52xI64s112x", LO_FLAGS_AUTOCLEAR, os.fsencode(image)[-63:])
        config = struct.pack("II232s64x", file.fileno(), 0, info)
        for _ in range(ATTEMPTS):
            name = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
            device = os.open(name, os.O_RDWR)
            try:
                fcntl.ioctl(device, LOOP_CONFIGURE, config)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # another process took it first
                    raise
            else:
                return device, name
    raise OSError(errno.EBUSY, "no loop device is free")
