"""The engine's state, told from its process and from its answers."""

import os
import select
import threading
import time
from dataclasses import dataclass

from guest_agent.datastores.base import ENGINE, Datastore
from guest_agent.errors import EngineUnavailable
from guest_agent.services import UnitNotFound, UnitStatus
from guest_agent.telemetry.probe import Answer, Probe

ANSWER_SECONDS = 5.0
"""A process that has owed an answer for so long is blocked."""
SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
REAP_PAUSE = 0.02
REAP_TRIES = 25
NOT_DEFINED = UnitStatus("stopped", None, 0, enabled=False)


@dataclass(frozen=True)
class EngineView:
    """As reports have it. `state` None: not known yet, which lasts ANSWER_SECONDS at most."""

    state: str | None
    wanted: bool
    version: str | None
    deaths: int

    def as_json(self) -> dict[str, object]:
        return {"state": self.state, "wanted": self.wanted, "version": self.version, "deaths": self.deaths}


@dataclass(frozen=True)
class Process:
    """`fd` can be read once it has ended; `since` is when it was first seen."""

    pid: int
    fd: int
    since: float

    @property
    def ended(self) -> bool:
        poller = select.poll()
        poller.register(self.fd, select.POLLIN)
        return bool(poller.poll(0))


class EngineWatch:
    """Belongs to one thread. It calls `look` when the process has ended, `due` has come, or somebody may have news."""

    def __init__(self, datastore: Datastore, probe: Probe) -> None:
        self._datastore = datastore
        self._probe = probe
        self._unit = NOT_DEFINED
        self._process: Process | None = None
        self._changed = time.monotonic()
        self._state: str | None = None
        self._version: str | None = None
        self._silent_since: float | None = None
        self._ask_at = 0.0
        self._asked = 0.0
        self._looked = 0.0
        self._owed = 0.0
        self.root_enabled: bool | None = None
        self.due: float | None = None

    @property
    def process(self) -> Process | None:
        return self._process

    @property
    def view(self) -> EngineView:
        return EngineView(self._state, self._unit.enabled, self._version, self._unit.deaths)

    @property
    def undecided(self) -> bool:
        """Whether an answer is still owed that may come in time."""
        return self._process is not None and self._waiting_since is not None and self._state != "blocked"

    def knows_since(self, moment: float) -> bool:
        """Whether the view is not older than `moment`, or will not be younger soon."""
        answers = self._process is not None and self._unit.state != "starting" and self._state != "blocked"
        return self.looked_since(moment) and (not answers or self._asked >= moment)

    def looked_since(self, moment: float) -> bool:
        return self._looked >= moment

    def look(self) -> None:
        """A word with init, and what the probe has brought."""
        self._looked = now = time.monotonic()
        try:
            unit, process = self._living()
        except EngineUnavailable:
            # init does not answer: the process is all there is to see.
            unit, process = self._unit, None if self._process and self._process.ended else self._process
        self._follow(unit, process, now)
        answer = self._probe.take()
        if answer and self._process and answer.asked >= self._process.since:
            self._hear(answer, now)
        if answer and answer.asked < self._owed:
            self.ask()
        self._settle(now)

    def ask(self) -> None:
        """Have the engine queried, after a query that is under way; `look` will know."""
        self._owed = time.monotonic()
        if self._process and self._unit.state != "starting":
            self._probe.ask()
            self._settle(time.monotonic())

    @property
    def _waiting_since(self) -> float | None:
        return self._probe.asked if self._silent_since is None else self._silent_since

    def _living(self) -> tuple[UnitStatus, Process | None]:
        """What init says of the engine, and its process; init is given time to bury a dead one."""
        for _ in range(REAP_TRIES):
            unit = self._unit_status()
            if unit.pid is None:
                return unit, None
            if self._process and self._process.pid == unit.pid:
                if not self._process.ended:
                    return unit, self._process
            elif process := self._open(unit.pid):
                return unit, process
            threading.Event().wait(REAP_PAUSE)
        return unit, None

    def _open(self, pid: int) -> Process | None:
        """None if it has ended. While init still has it the number cannot have been given to another."""
        try:
            process = Process(pid, os.pidfd_open(pid), time.monotonic())
        except ProcessLookupError:
            return None
        try:
            alive = not process.ended and self._unit_status().pid == pid
        except EngineUnavailable:
            alive = False
        if alive:
            return process
        os.close(process.fd)
        return None

    def _unit_status(self) -> UnitStatus:
        try:
            return self._datastore.services.status(ENGINE)
        except UnitNotFound:
            return NOT_DEFINED

    def _follow(self, unit: UnitStatus, process: Process | None, now: float) -> None:
        self._unit = unit
        if process is self._process:
            return
        if self._process:
            os.close(self._process.fd)
        self._process = process
        self._changed = self._ask_at = now
        self._silent_since = now if process else None
        if self._state is not None:
            self._rest()

    def _hear(self, answer: Answer, now: float) -> None:
        self._asked = answer.asked
        if answer.version is None:
            self._silent_since = answer.asked if self._silent_since is None else self._silent_since
            self._ask_at = now + _pause(now - self._silent_since)
        else:
            self._silent_since = None
            self._state, self._version, self.root_enabled = "running", answer.version, answer.root_enabled

    def _settle(self, now: float) -> None:
        """Draw the conclusions, and say when to look again though nothing may have happened."""
        self.due = None
        waiting_since = self._waiting_since
        if self._process is None:
            self._rest()
            if self._unit.enabled:
                self.due = now + _pause(now - self._changed)
            return
        if waiting_since is None:
            return
        if now - waiting_since >= ANSWER_SECONDS:
            self._state, self._version, self.root_enabled = "blocked", None, None
        if self._unit.state == "starting":
            self.due = now + _pause(now - self._changed)
        elif self._probe.asked is None and now < self._ask_at:
            self.due = self._ask_at
        else:
            self._probe.ask()
            self.due = None if self._state == "blocked" else waiting_since + ANSWER_SECONDS

    def _rest(self) -> None:
        """Nothing runs."""
        self._state = "stopped" if self._datastore.is_initialised() else "none"
        self._version = self.root_enabled = None


def _pause(elapsed: float) -> float:
    """Look again after a while that grows with what has passed."""
    return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, elapsed / 4))
