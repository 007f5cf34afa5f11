"""What the embedded cloud has left behind: the assertion of every test that says "nothing"."""

import os
from collections.abc import Iterable
from pathlib import Path

from cli.leftovers import of_machine
from clouds.local import procfs

KEPT = frozenset({"ports", "volumes", "servers", "names", "locks"})


def left_of(directory: Path, addresses: Iterable[str] = ()) -> list[str]:
    """Processes, mounts, loop devices and files of a local cloud's state directory, its empty tables, containers and lock files aside.

    `addresses` of the servers, where the test knows them: what hides its command line is found by its sockets there.
    """
    directory = directory.resolve()
    return [*of_machine(directory), *_sessions(addresses), *_files(directory)]


def _sessions(addresses: Iterable[str]) -> list[str]:
    nowhere = Path("/nonexistent/server")
    return [f"process {pid} at {address}" for address in addresses for pid in procfs.processes_of(nowhere, address)]


def _files(directory: Path) -> list[str]:
    found = []
    for path in sorted(directory.iterdir()) if directory.exists() else []:
        if path.name == "objects":
            found.extend(f"object {inner}" for inner in sorted(path.glob("*/[os]/*")))
        elif path.name not in KEPT:
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
