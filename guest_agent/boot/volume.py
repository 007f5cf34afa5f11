"""The data volume: found by its id, given a file system when it has none, mounted."""

import os
import re
import subprocess
import time
from pathlib import Path

BY_ID = Path("/dev/disk/by-id")
SERIAL_LENGTH = 20
"""Hypervisors cut a volume's id to this when they make it a disk's serial number."""
APPEARS_WITHIN = 120.0
POLL_SECONDS = 0.2
LABEL = "coffer-data"


def ensure_mounted(volume_id: str, target: Path) -> None:
    """May be repeated.  A volume that has a file system keeps it.  Raises OSError or subprocess.CalledProcessError."""
    target.mkdir(mode=0o755, exist_ok=True)
    if os.path.ismount(target):
        return
    device = _device(volume_id)
    if not _has_file_system(device):
        fast = ["-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]
        _run("mkfs.ext4", "-q", "-L", LABEL, *fast, str(device))
    _run("mount", "-o", "noatime,nosuid,nodev", str(device), str(target))


def _device(volume_id: str) -> Path:
    """Its disk; a machine that boots may see it a little later.  Raises FileNotFoundError."""
    until = time.monotonic() + APPEARS_WITHIN
    ending = re.compile(rf"[_-]{re.escape(volume_id[:SERIAL_LENGTH])}[^_-]*")
    while True:
        for link in sorted(BY_ID.glob("*")) if BY_ID.is_dir() else ():
            if ending.search(link.name) and "-part" not in link.name:
                return link.resolve()
        if time.monotonic() > until:
            raise FileNotFoundError(f"no disk of this server is the volume {volume_id}")
        time.sleep(POLL_SECONDS)


def _has_file_system(device: Path) -> bool:
    return _run("blkid", "-p", str(device), allowed=(0, 2)).returncode == 0


def _run(*command: str, allowed: tuple[int, ...] = (0,)) -> "subprocess.CompletedProcess[bytes]":
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode not in allowed:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
    return done
