"""Processes of this machine: found by what they were started with, stopped without ever hitting another one."""

import os
import select
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def command(pid: int) -> list[str]:
    """What it was started with; empty for one that is gone, or has ended and is not waited for."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return raw.decode(errors="surrogateescape").split("\0")[:-1]


def bears(pid: int, mark: Sequence[str]) -> bool:
    """Whether its command has these arguments, in a row."""
    argv, mark = command(pid), list(mark)
    return any(argv[i : i + len(mark)] == mark for i in range(len(argv) - len(mark) + 1))


def find(mark: Sequence[str]) -> list[int]:
    """Every process that bears the mark, but not this one."""
    pids = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and bears(pid, mark)]


def stop(mark: Sequence[str], pids: Iterable[int], patience: float) -> int:
    """Ask those of `pids` that bear the mark to end, then make them.  Gives how many there were.

    A pidfd is opened before the mark is checked, so that a reused pid can never be hit.
    """
    handles = [fd for pid in pids if (fd := _open(pid, mark)) is not None]
    try:
        _signal(handles, signal.SIGTERM)
        if not wait(handles, patience):
            _signal(handles, signal.SIGKILL)
            wait(handles, 5.0)
    finally:
        for fd in handles:
            os.close(fd)
    return len(handles)


def wait(handles: Iterable[int], patience: float) -> bool:
    """Whether all of these pidfds' processes ended in time."""
    deadline = time.monotonic() + patience
    poll = select.poll()
    waiting = set(handles)
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    while waiting:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        for fd, _ in poll.poll(left * 1000):
            poll.unregister(fd)
            waiting.discard(fd)
    return True


def _open(pid: int, mark: Sequence[str]) -> int | None:
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if bears(pid, mark):
        return fd
    os.close(fd)
    return None


def _signal(handles: Iterable[int], number: signal.Signals) -> None:
    for fd in handles:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)
