"""What a tenant sees of an engine that dies or hangs, through a whole Coffer with a real MariaDB."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.rest import Api, sign_in
from cli.statedir import StateDir
from tests.support.stack import running

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

SHOWN_WITHIN = 15.0
BODY = {"name": "watched", "flavorRef": "1", "volume": {"size": 1}, "datastore": {"type": "mariadb", "version": "10.11"}}


class Watched:
    """An instance, and its engine's process."""

    def __init__(self, api: Api, state: Path) -> None:
        self.api = api
        self.id: str = api.post("/instances", {"instance": BODY})["instance"]["id"]
        self.within("ACTIVE", lambda: self.show()["status"] == "ACTIVE", 120)
        [self._pid_file] = state.glob("cloud/servers/*/run/engine.pid")

    def show(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/instances/{self.id}")["instance"]
        return found

    def pid(self) -> int:
        """0 while there is no engine."""
        return int(self._pid_file.read_text()) if self._pid_file.exists() else 0

    def shows_a_kill(self) -> bool:
        """An engine that is back within half a second may never be seen away; each further death keeps it away for longer."""
        killed = self.pid()
        os.kill(killed, signal.SIGKILL)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            if self.show()["operating_status"] == "SHUTDOWN":
                return True
        self.within("back", lambda: self.pid() not in (0, killed), SHOWN_WITHIN)
        return False

    def becomes(self, operating_status: str, seconds: float = SHOWN_WITHIN) -> None:
        self.within(operating_status, lambda: self.show()["operating_status"] == operating_status, seconds)

    def within(self, what: str, condition: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not {what} within {seconds} s: {self.show()}"


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with running() as stack:
        yield Watched(sign_in(StateDir(stack.state)), stack.state)


def test_usage_and_age_are_told(watched: Watched) -> None:
    watched.within("used", lambda: "used" in watched.show()["volume"], SHOWN_WITHIN)
    # The newest report may still be one from before the engine's start.
    watched.becomes("HEALTHY")
    first = watched.show()
    assert 0 < first["volume"]["used"] < 1
    watched.within(
        "heard again", lambda: watched.show()["service_status_updated"] > first["service_status_updated"], SHOWN_WITHIN
    )


def test_an_engine_killed_by_hand_shows_and_again_when_it_is_back(watched: Watched) -> None:
    watched.becomes("HEALTHY")
    killed = watched.pid()
    watched.within("SHUTDOWN", watched.shows_a_kill, SHOWN_WITHIN)
    assert watched.show()["status"] == "ACTIVE"
    watched.becomes("HEALTHY")
    assert watched.pid() != killed


def test_an_engine_that_hangs_shows_and_again_when_it_goes_on(watched: Watched) -> None:
    watched.becomes("HEALTHY")
    os.kill(watched.pid(), signal.SIGSTOP)
    try:
        watched.becomes("BLOCKED")
    finally:
        os.kill(watched.pid(), signal.SIGCONT)
    watched.becomes("HEALTHY")
