"""Start the control plane of one state directory, in the foreground or the background."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from cli import account, background, localservers, parts, provision, searchattributes
from cli.addresses import api_url, ports_before, temporal_address, ui_url
from cli.errors import CliError
from cli.lifecycle import stop_leftovers
from cli.ports import USUALLY, Ports, WantPorts, check_loopback, choose
from cli.readiness import Checks
from cli.statedir import LOOPBACK, StateDir, already_running, check_usable
from cli.supervisor import Supervisor


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
    account.check()


def up(want: Want, on_ready: Callable[[], None] = lambda: None, detached: bool = False, announce: TextIO | None = None) -> None:
    """Run the control plane until it is told to stop.  `on_ready` is called after the READY line is out (to `announce`)."""
    state = want.state
    check(want)
    stop_leftovers(state)
    ports = choose(want.host, want.ports, ports_before(state))
    state.make()
    with state.held():
        say = Narrator(state, sys.stderr)
        say(f"state in {state.root}")
        provision.prepare(state, want.host, ports)
        localservers.prepare(state, say)
        localservers.power_on(state, say)
        checks = Checks(api_url(want.host, ports), temporal_address(want.host, ports))
        supervisor = Supervisor(state, parts.parts(state, want.host, ports), checks.by_name(), say, _environment())

        async def usable() -> None:
            # A development server learns of attributes at the birth of its database only; later ones are for us to add.
            await searchattributes.ensure(await checks.client())
            print(ready_line(want.host, ports), file=announce or sys.stdout, flush=True)
            say(f"clients: export OS_CLIENT_CONFIG_FILE={state.clouds}, then openstack --os-cloud coffer database instance list")
            if detached:
                say.leave_terminal()
            on_ready()

        asyncio.run(supervisor.run(usable))
        say("stopped; databases go on")


def ready_line(host: str, ports: Ports) -> str:
    api, temporal, ui = api_url(host, ports), temporal_address(host, ports), ui_url(host, ports)
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


def _environment() -> dict[str, str]:
    return {**os.environ, "PATH": parts.SEARCH, "PYTHONUNBUFFERED": "1"}
