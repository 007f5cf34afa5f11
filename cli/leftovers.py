"""What a local cloud has left on this machine once all its databases are deleted: nothing, or a list of it."""

import os
from pathlib import Path

from cli.statedir import StateDir
from clouds.local import disks, procfs
from clouds.local.state import State


def of_servers(state: StateDir) -> list[str]:
    """Records, directories, mounts, loop devices and processes of database servers."""
    records = State(state.cloud)
    found = []
    for table in (records.servers, records.volumes, records.ports, records.names):
        found += [f"file {path}" for path in sorted(table.directory.iterdir())]
    return found + of_machine(state.cloud)


def of_machine(directory: Path) -> list[str]:
    """Processes, mounts and loop devices that have to do with anything below `directory`."""
    mounts = [f"mount {point}" for point in disks.mount_points() if point.is_relative_to(directory)]
    loops = [f"loop device {device}" for device in disks.loop_devices(directory)]
    return [*_processes(os.fsencode(directory)), *mounts, *loops]


def _processes(directory: bytes) -> list[str]:
    inside = directory + b"/"
    found = []
    for pid in procfs.pids():
        argv = procfs.cmdline(pid)
        if pid != os.getpid() and (any(inside in word for word in argv) or b"COFFER_SERVER=" + inside in _environ(pid)):
            found.append(f"process {pid}: {b' '.join(argv).decode(errors='replace')[:150]}")
    return found


def _environ(pid: int) -> bytes:
    try:
        return (procfs.PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return b""
