"""What the embedded cloud has left behind: the assertion of every test that says "nothing"."""

import os
from collections.abc import Iterable
from pathlib import Path

from clouds.local import disks, procfs

KEPT = frozenset({"ports", "volumes", "servers", "locks"})


def left_of(directory: Path, addresses: Iterable[str] = ()) -> list[str]:
    """Processes, mounts, loop devices and files of a local cloud's state directory, its empty tables and lock files aside.

    `addresses` of the servers, where the test knows them: what hides its command line is found by its sockets there.
    """
    directory = directory.resolve()
    return [*_processes(directory), *_sessions(addresses), *_mounts(directory), *_loops(directory), *_files(directory)]


def _processes(directory: Path) -> list[str]:
    inside = os.fsencode(directory / "servers") + b"/"
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        if int(entry.name) == os.getpid():
            continue
        try:
            cmdline, environ = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except OSError:
            continue
        if inside in cmdline or b"COFFER_SERVER=" + inside in environ:
            found.append(f"process {entry.name}: {cmdline.replace(bytes(1), b' ').decode(errors='replace')}")
    return found


def _sessions(addresses: Iterable[str]) -> list[str]:
    nowhere = Path("/nonexistent/server")
    return [f"process {pid} at {address}" for address in addresses for pid in procfs.processes_of(nowhere, address)]


def _mounts(directory: Path) -> list[str]:
    return [f"mount {point}" for point in disks.mount_points() if point.is_relative_to(directory)]


def _loops(directory: Path) -> list[str]:
    return [f"loop device {device}" for device in disks.loop_devices(directory)]


def _files(directory: Path) -> list[str]:
    found = []
    for path in sorted(directory.iterdir()) if directory.exists() else []:
        if path.name not in KEPT:
            found.append(f"file {path}")
        elif path.name != "locks":
            found.extend(f"file {inner}" for inner in sorted(path.iterdir()))
    return found


def inits_of(server: Path) -> list[int]:
    """Every init of a server: one, where all is well."""
    tail = [b"guest_agent.init", os.fsencode(server)]
    alike = {pid for pid in procfs.pids() if procfs.cmdline(pid)[-2:] == tail}
    # What init has forked looks like it until it executes its unit's program.
    return sorted(pid for pid in alike if procfs.parent_of(pid) not in alike)
