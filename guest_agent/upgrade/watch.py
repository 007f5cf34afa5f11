"""Sees the agent's replacement through: `python -S -m guest_agent.upgrade.watch RELEASES AGENT_SOCKET INIT_SOCKET`.

A unit of init's, run from the release `base`: nothing of the release on trial has a say in it.  It may be killed at any
time and is started again until the plan is closed; each time it looks at what is there and goes on.
"""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from guest_agent.errors import GuestError
from guest_agent.services import Services
from guest_agent.upgrade import plan
from guest_agent.upgrade.plan import Plan
from guest_agent.upgrade.releases import CURRENT, Releases

AGENT = "agent"
HELLO_SECONDS = 15.0
SETTLE_SECONDS = 1.0
POLL_SECONDS = 0.1
USAGE = 2


class Watch:
    def __init__(self, releases: Releases, agent_socket: str, services: Services) -> None:
        self._releases = releases
        self._socket = agent_socket
        self._services = services
        self._trouble = ""

    def run(self) -> None:
        known = plan.load(self._releases.directory)
        if known and known.phase == plan.TRIAL:
            known = self._try(known)
        if known and known.phase == plan.ROLLING_BACK:
            self._take_back(known)

    def _try(self, known: Plan) -> Plan:
        """Accepted, or to be rolled back with the reason."""
        if self._brought_up(known.release, known.patience):
            self._releases.prune(keep=[known.previous])
            return self._enter(known, plan.ACCEPTED)
        return self._enter(known, plan.ROLLING_BACK, f"it gave no answer within {known.patience:g} s ({self._trouble})")

    def _take_back(self, known: Plan) -> None:
        if self._brought_up(known.previous, known.patience):
            self._enter(known, plan.ROLLED_BACK, known.reason)
        else:
            self._enter(known, plan.ROLLED_BACK, f"{known.reason}; nor does the one before: {self._trouble}")

    def _enter(self, known: Plan, phase: str, reason: str = "") -> Plan:
        known = replace(known, phase=phase, reason=reason)
        plan.save(self._releases.directory, known)
        return known

    def _brought_up(self, link: str, patience: float) -> bool:
        """Whether the agent of this release answers, and goes on to, within `patience` seconds."""
        until = time.monotonic() + patience
        never = threading.Event()
        expected = self._releases.name_of(link)
        if self._releases.current() != link:
            self._releases.switch(link)
            self._restart()
        elif not self._answers(expected):
            self._restart()
        while time.monotonic() < until:
            if self._answers(expected):
                pid = self._pid()
                never.wait(SETTLE_SECONDS)
                if self._answers(expected) and self._pid() == pid:
                    return True
                self._trouble = "it does not keep running"
            never.wait(POLL_SECONDS)
        return False

    def _restart(self) -> None:
        try:
            self._services.restart(AGENT)
        except GuestError as error:
            # init tries again by itself.
            self._trouble = str(error)

    def _pid(self) -> int | None:
        return self._services.status(AGENT).pid

    def _answers(self, expected: str | None) -> bool:
        try:
            hello = self._hello()
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._trouble = f"{type(error).__name__}: {error}"[:300]
            return False
        if not isinstance(hello.get("protocol"), int) or hello.get("release") != expected:
            self._trouble = f"release {hello.get('release')} answers"
            return False
        return True

    def _hello(self) -> dict[str, Any]:
        """Through the release's own channel program, as the control plane asks."""
        channel = self._releases.directory / CURRENT / "guest_agent/channel.py"
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(channel), self._socket],
            input=b'{"id": 1, "method": "hello"}\n',
            capture_output=True,
            env={"PATH": os.environ.get("PATH", os.defpath), "SSH_ORIGINAL_COMMAND": "coffer-guest"},
            timeout=HELLO_SECONDS,
            check=False,
        )
        if done.returncode or not done.stdout:
            raise ValueError(done.stderr.decode(errors="replace").strip()[-200:] or "the channel is silent")
        answer = json.loads(done.stdout)
        if not isinstance(answer, dict) or not isinstance(answer.get("result"), dict):
            raise ValueError("that is no answer to hello")
        result: dict[str, Any] = answer["result"]
        return result


def main(arguments: list[str]) -> int:
    if len(arguments) != 3:
        sys.stderr.write("usage: python -S -m guest_agent.upgrade.watch RELEASES AGENT_SOCKET INIT_SOCKET\n")
        return USAGE
    directory, agent_socket, init_socket = arguments
    Watch(Releases(Path(directory)), agent_socket, Services(Path(init_socket))).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
