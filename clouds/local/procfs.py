"""What /proc knows: who belongs to a server, who listens where.  Signals go through pidfds, so none hits a reused pid."""

import contextlib
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

PROC = Path("/proc")
LISTEN = "0A"


def cmdline(pid: int) -> list[bytes]:
    """Empty for a process that is gone, a zombie or part of the kernel."""
    return _read(pid, "cmdline").removesuffix(b"\0").split(b"\0")


def parent_of(pid: int) -> int:
    """0 for a process that is gone."""
    stat = _read(pid, "stat")
    return int(stat.rpartition(b")")[2].split()[1]) if stat else 0


def pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def listening() -> set[tuple[str, int]]:
    """IPv4 addresses and ports on which something listens."""
    return {(address, port) for address, port, state, _ in _tcp_sockets() if state == LISTEN}


def processes_of(root: Path, address: str | None = None) -> set[int]:
    """Every process of the server at `root`, whoever its parent is by now.

    Most carry the server's directory in their environment or command line; what overwrites both (sshd's sessions) is
    known by its socket on the server's `address`.
    """
    marker = b"COFFER_SERVER=" + os.fsencode(root) + b"\0"
    path = os.fsencode(root)
    spared = _self_and_ancestors()
    found = {pid for pid in pids() if marker in _read(pid, "environ") + b"\0" or path in _read(pid, "cmdline")}
    if address is not None:
        found |= _owners({inode for local, _, _, inode in _tcp_sockets() if local == address and inode != "0"})
    return found - spared


def end(victims: Iterable[int], number: signal.Signals, seconds: float) -> bool:
    """Signals each and waits until all are gone; False when some are left after `seconds`."""
    until = time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        poller = select.poll()
        waiting = set()
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                fd = os.pidfd_open(pid)
                stack.callback(os.close, fd)
                signal.pidfd_send_signal(fd, number)
                poller.register(fd, select.POLLIN)
                waiting.add(fd)
        while waiting and (left := until - time.monotonic()) > 0:
            for fd, _ in poller.poll(left * 1000):
                poller.unregister(fd)
                waiting.discard(fd)
    return not waiting


def kill_server(root: Path, address: str | None, seconds: float) -> bool:
    """SIGKILL to all of a server until nothing of it is left; what it starts meanwhile is met in the next round."""
    until = time.monotonic() + seconds
    while victims := processes_of(root, address):
        left = until - time.monotonic()
        if left <= 0 or not end(victims, signal.SIGKILL, left):
            return False
    return True


def _read(pid: int, name: str) -> bytes:
    try:
        return (PROC / str(pid) / name).read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def _self_and_ancestors() -> set[int]:
    found, pid = set(), os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        pid = parent_of(pid)
    return found


def _tcp_sockets() -> Iterator[tuple[str, int, str, str]]:
    """Local address, local port, state and inode of every IPv4 socket."""
    for line in (PROC / "net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        address, port = fields[1].split(":")
        yield socket.inet_ntoa(struct.pack("=I", int(address, 16))), int(port, 16), fields[3], fields[9]


def _owners(inodes: set[str]) -> set[int]:
    if not inodes:
        return set()
    wanted = {f"socket:[{inode}]" for inode in inodes}
    return {pid for pid in pids() if not wanted.isdisjoint(_open_files(pid))}


def _open_files(pid: int) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        for entry in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                yield str(entry.readlink())
