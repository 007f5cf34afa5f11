"""Start, stop and look at the control plane of one state directory."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from cli import background, localservers, parts, processes, provision
from cli.errors import CliError
from cli.ports import USUALLY, Ports, WantPorts, check_loopback, choose
from cli.readiness import Checks, answers
from cli.statedir import StateDir, already_running, check_usable
from cli.supervisor import Supervisor

STOP_WITHIN = 60.0
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Want:
    state: StateDir
    host: str = LOOPBACK
    ports: WantPorts = USUALLY


class Narrator:
    """Tells what happens: to the log always, to the terminal while one looks on."""

    def __init__(self, state: StateDir, terminal: TextIO | None) -> None:
        self._path, self.terminal = state.log("supervisor"), terminal

    def __call__(self, line: str) -> None:
        with self._path.open("a") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        if self.terminal is not None:
            print(f"coffer: {line}", file=self.terminal, flush=True)

    def leave_terminal(self) -> None:
        """From here on this process belongs to no terminal, pipe or caller."""
        self.terminal = None
        log = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.close(log)
        os.close(nothing)


def check(want: Want) -> None:
    """Raise CliError for all that is wrong before anything is changed, ports aside."""
    check_loopback(want.host)
    if want.state.holder() is not None:
        raise already_running(want.state)
    check_usable(want.state)
    parts.check_programs()


def up(want: Want, on_ready: Callable[[], None] = lambda: None, detached: bool = False, announce: TextIO | None = None) -> None:
    """Run the control plane until it is told to stop.  `on_ready` is called after the READY line is out (to `announce`)."""
    state = want.state
    check(want)
    stop_leftovers(state)
    ports = choose(want.host, want.ports, provision.ports_before(state))
    state.make()
    with state.held():
        say = Narrator(state, sys.stderr)
        say(f"state in {state.root}")
        provision.prepare(state, want.host, ports)
        localservers.power_on(state, say)
        checks = Checks(provision.api_url(want.host, ports), provision.temporal_address(want.host, ports))
        supervisor = Supervisor(state, parts.parts(state, want.host, ports), checks.by_name(), say, _environment())

        async def usable() -> None:
            print(ready_line(want.host, ports), file=announce or sys.stdout, flush=True)
            say(f"clients: export OS_CLIENT_CONFIG_FILE={state.clouds}, then openstack --os-cloud coffer database instance list")
            if detached:
                say.leave_terminal()
            on_ready()

        asyncio.run(supervisor.run(usable))
        say("stopped; databases go on")


def ready_line(host: str, ports: Ports) -> str:
    api, temporal, ui = provision.api_url(host, ports), provision.temporal_address(host, ports), provision.ui_url(host, ports)
    return f"READY api={api} temporal={temporal} ui={ui}"


def up_in_background(want: Want, announce: TextIO | None = None) -> None:
    """The same in a process of its own; returns when it is usable.  A failure has been told, and ends this process too."""

    def main(tell_ready: Callable[[], None]) -> int:
        try:
            up(want, tell_ready, detached=True, announce=announce)
        except CliError as e:
            e.show()
            return e.exit_code
        return 0

    code = background.detach(main)
    if code:
        raise SystemExit(code)


def down(state: StateDir) -> bool:
    """Stop the control plane and what an earlier one has left.  Whether there was anything to stop."""
    pid = state.holder()
    if pid is not None:
        _stop_supervisor(state, pid)
    return stop_leftovers(state) > 0 or pid is not None


def purge(state: StateDir, say: Callable[[str], None]) -> int:
    """Remove databases and directory of a control plane that is down.  Gives the number of servers that were removed."""
    if not state.exists():
        raise CliError(f"{state.root} is not a state directory of Coffer: nothing is removed", "name one with --state DIR")
    with state.held():
        return localservers.remove_all(state, say)


def stop_leftovers(state: StateDir) -> int:
    patience = 10.0
    return sum(processes.stop(mark, processes.find(mark), patience) for mark in reversed(parts.marks(state).values()))


def status(state: StateDir) -> dict[str, Any]:
    pid = state.holder()
    ports = provision.ports_before(state)
    out: dict[str, Any] = {
        "state": str(state.root),
        "running": pid is not None,
        "supervisor": pid,
        "databases": localservers.count(state),
    }
    out["parts"] = {name: _pid_of(state, name) for name in parts.marks(state)}
    if ports is not None:
        out["ports"] = asdict(ports)
        out["api"] = provision.api_url(LOOPBACK, ports)
        out["usable"] = pid is not None and answers(f"{out['api']}/healthcheck")
    return out


def _pid_of(state: StateDir, name: str) -> int | None:
    try:
        pid = int(state.pid(name).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if processes.bears(pid, parts.marks(state)[name]) else None


def _stop_supervisor(state: StateDir, pid: int) -> None:
    mark: list[str] = []  # any command: whoever holds the lock is the supervisor, whatever it was started as
    processes.stop(mark, [pid] if state.holder() == pid else [], STOP_WITHIN)


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": parts.SEARCH, "PYTHONUNBUFFERED": "1"}
