# os.path throughout: pathlib would cost init a megabyte of memory.
# ruff: noqa: PTH108, PTH110, PTH118, PTH123
"""One unit's life: start, readiness, restart with backoff, stop."""

import os
import signal
import time
from collections.abc import Callable

from guest_agent.init.process import NotifySocket, account_of, spawn
from guest_agent.init.units import Unit, UnitError

Done = Callable[[UnitError | None], None]

FIRST_BACKOFF = 0.2
LAST_BACKOFF = 10.0
STABLE_AFTER = 10.0


class Service:
    """A unit and its process. The supervisor reports exits, messages and deadlines; nothing here ever waits."""

    def __init__(self, name: str, unit: Unit, server: str, boot_id: str) -> None:
        self.name = name
        self.unit = unit
        self.state = "stopped"
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.deaths = 0
        self.since = time.time()
        self.deadline: float | None = None
        self.notify: NotifySocket | None = None
        self._server = server
        self._boot_id = boot_id
        self._pid_file = os.path.join(server, "run", f"{name}.pid")
        self._backoff = FIRST_BACKOFF
        self._started = 0.0
        self._timed_out = False
        self._start_when_stopped = False
        self._start_waiters: list[Done] = []
        self._stop_waiters: list[Done] = []

    def start(self, done: Done | None = None) -> None:
        """Start now. `done` hears when the unit is ready or has failed; a start that someone waits for is not repeated."""
        if self.state == "running":
            if done:
                done(None)
            return
        if done:
            self._start_waiters.append(done)
        if self.state == "stopping":
            self._start_when_stopped = True
        elif self.pid is None:
            self._spawn()

    def stop(self, done: Done | None = None) -> None:
        if done:
            self._stop_waiters.append(done)
        self._start_when_stopped = False
        if self.pid is None:
            self._settle("stopped")
            self._stopped()
        elif self.state != "stopping":
            self._tell_starters(UnitError("StartFailed", f"{self.name} was stopped before it was ready."))
            self._settle("stopping", self.unit.stop_timeout)
            os.kill(self.pid, self.unit.stop_signal)

    def message(self) -> None:
        """The unit has written to its notify socket."""
        if self.notify is None:
            # The process ended in the same turn of the loop.
            return
        variables = self.notify.receive()
        if "EXTEND_TIMEOUT_USEC" in variables and self.deadline is not None:
            extension = variables["EXTEND_TIMEOUT_USEC"]
            if extension.isdecimal():
                self.deadline = max(self.deadline, time.monotonic() + int(extension) / 1e6)
        if variables.get("READY") == "1" and self.state == "starting":
            self._ready()

    def expired(self) -> None:
        """The deadline of the present state has passed."""
        self.deadline = None
        if self.pid is None:
            self._spawn()
        else:
            self._timed_out = self.state == "starting"
            os.kill(self.pid, signal.SIGKILL)

    def exited(self, exit_code: int) -> None:
        """The process has ended; a negative code is the signal that ended it."""
        ready = self.state == "running"
        stopping = self.state == "stopping"
        self._forget_process()
        self.exit_code = exit_code
        if stopping:
            self._settle("stopped")
            self._stopped()
            return
        self.deaths += 1
        if ready:
            if time.monotonic() - self._started >= STABLE_AFTER:
                self._backoff = FIRST_BACKOFF
            self._settle("stopped" if exit_code == 0 and self.unit.restart != "always" else "failed")
            self._restart_later()
        else:
            self._start_failed(UnitError("StartFailed", self._why_not_ready(exit_code)))

    def status(self) -> dict[str, object]:
        state = "running" if self.state == "stopping" else self.state
        return {
            "state": state,
            "pid": self.pid,
            "exit_code": self.exit_code,
            "since": self.since,
            "deaths": self.deaths,
            "enabled": self.unit.enabled,
        }

    def _spawn(self) -> None:
        self._timed_out = False
        try:
            if self.unit.type == "notify":
                self.notify = NotifySocket(account_of(self.unit).pw_uid)
            self.pid = spawn(self.unit, self._server, self._boot_id, self.notify.address if self.notify else None)
        except UnitError as error:
            self._forget_process()
            self._start_failed(error)
            return
        self._started = time.monotonic()
        with open(self._pid_file, "w", encoding="ascii") as file:
            file.write(f"{self.pid}\n")
        self._settle("starting", self.unit.start_timeout)
        if self.unit.type == "simple":
            self._ready()

    def _ready(self) -> None:
        self._settle("running")
        self._tell_starters(None)

    def _start_failed(self, error: UnitError) -> None:
        asked_for = bool(self._start_waiters)
        self._settle("failed")
        self._tell_starters(error)
        if not asked_for:
            self._restart_later()

    def _restart_later(self) -> None:
        if self.unit.restart == "always" or (self.unit.restart == "on-failure" and self.state == "failed"):
            self.deadline = time.monotonic() + self._backoff
            self._backoff = min(self._backoff * 2, LAST_BACKOFF)

    def _why_not_ready(self, exit_code: int) -> str:
        if self._timed_out:
            return f"{self.name} was not ready within {self.unit.start_timeout:g} s."
        if exit_code < 0:
            return f"{self.name} was ended by signal {-exit_code} before it was ready."
        return f"{self.name} exited with status {exit_code} before it was ready."

    def _settle(self, state: str, timeout: float | None = None) -> None:
        self.state = state
        self.since = time.time()
        self.deadline = None if timeout is None else time.monotonic() + timeout

    def _forget_process(self) -> None:
        self.pid = None
        if self.notify:
            self.notify.close()
            self.notify = None
        if os.path.exists(self._pid_file):
            os.unlink(self._pid_file)

    def _tell_starters(self, error: UnitError | None) -> None:
        waiters, self._start_waiters = self._start_waiters, []
        for done in waiters:
            done(error)

    def _stopped(self) -> None:
        waiters, self._stop_waiters = self._stop_waiters, []
        for done in waiters:
            done(None)
        if self._start_when_stopped:
            self._start_when_stopped = False
            self._spawn()
