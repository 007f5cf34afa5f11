"""Stop the control plane of one state directory, and look at it."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from cli import localservers, processes
from cli.addresses import api_url, host_before, ports_before, temporal_address, ui_url
from cli.errors import CliError
from cli.http import answers
from cli.marks import marks
from cli.statedir import StateDir
from messaging import bell

STOP_WITHIN = 60.0


def down(state: StateDir) -> bool:
    """Stop the control plane and what an earlier one has left.  Whether there was anything to stop."""
    pid = state.holder()
    if pid is not None:
        _stop_supervisor(state, pid)
    stopped = stop_leftovers(state) > 0 or pid is not None
    bell.sweep()  # of what was killed; who ends by itself leaves nothing
    return stopped


def purge(state: StateDir, say: Callable[[str], None]) -> int:
    """Remove databases and directory of a control plane that is down.  Gives the number of servers that were removed."""
    if not state.exists():
        raise CliError(f"{state.root} is not a state directory of Coffer: nothing is removed", "name one with --state DIR")
    with state.held():
        return localservers.remove_all(state, say)


def stop_leftovers(state: StateDir) -> int:
    patience = 10.0
    return sum(processes.stop(mark, processes.find(mark), patience) for mark in reversed(marks(state).values()))


def status(state: StateDir) -> dict[str, Any]:
    pid = state.holder()
    ports = ports_before(state)
    out: dict[str, Any] = {
        "state": str(state.root),
        "running": pid is not None,
        "supervisor": pid,
        "servers": localservers.count(state),
    }
    out["parts"] = {name: _pid_of(state, name) for name in marks(state)}
    if ports is not None:
        host = host_before(state)
        out["ports"] = asdict(ports)
        out["api"], out["temporal"], out["ui"] = api_url(host, ports), temporal_address(host, ports), ui_url(host, ports)
        out["usable"] = pid is not None and answers(f"{out['api']}/healthcheck")
    return out


def _pid_of(state: StateDir, name: str) -> int | None:
    try:
        pid = int(state.pid(name).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if processes.bears(pid, marks(state)[name]) else None


def _stop_supervisor(state: StateDir, pid: int) -> None:
    mark: list[str] = []  # any command: whoever holds the lock is the supervisor, whatever it was started as
    processes.stop(mark, [pid] if state.holder() == pid else [], STOP_WITHIN)
