"""The config drive: a file system labelled config-2, or a directory where somebody has mounted it already."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

LABEL = "config-2"
MOUNTED = Path("/mnt/config")
MOUNT_POINT = Path("/run/coffer-config-drive")
FILES = "openstack/latest"


@contextlib.contextmanager
def opened(mounted: Path = MOUNTED) -> Iterator[Path | None]:
    """The directory with meta_data.json and its like; None for a server without a config drive.  Raises OSError."""
    if (mounted / FILES).is_dir():
        yield mounted / FILES
        return
    device = _device()
    if device is None:
        yield None
        return
    MOUNT_POINT.mkdir(mode=0o700, exist_ok=True)
    _run("mount", "-o", "ro,nosuid,nodev,noexec", device, str(MOUNT_POINT))
    try:
        yield MOUNT_POINT / FILES
    finally:
        _run("umount", str(MOUNT_POINT))


def _device() -> str | None:
    # Exit status 2: nothing has that label.  The cache of an image has no say.
    done = subprocess.run(
        ["blkid", "--cache-file", os.devnull, "-L", LABEL], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{command[0]} of the config drive: {done.stderr.strip()}")
