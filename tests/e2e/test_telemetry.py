"""What a tenant sees of an engine that dies or hangs, through a whole Coffer with a real MariaDB."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.commands.events import Reader
from cli.rest import Api, sign_in
from cli.statedir import StateDir
from models.event_types import GUESTS
from tests.support.stack import running

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

SHOWN_WITHIN = 15.0
BODY = {"name": "watched", "flavorRef": "1", "volume": {"size": 1}, "datastore": {"type": "mariadb", "version": "10.11"}}


class Watched:
    """An instance, and its engine's process."""

    def __init__(self, api: Api, state: Path) -> None:
        self.api = api
        api.post("/event-subscriptions", {"event_subscription": {"queue": "news", "types": list(GUESTS)}})
        self.news = Reader(api, "news")
        self.id: str = api.post("/instances", {"instance": BODY})["instance"]["id"]
        self.within("ACTIVE", lambda: (made := self.show())["status"] == "ACTIVE" and self.at_once(made), 120)
        [self._pid_file] = state.glob("cloud/servers/*/run/engine.pid")

    def at_once(self, made: dict[str, Any]) -> bool:
        """Whatever reports from before the end of the create say, or don't."""
        assert made["operating_status"] == "HEALTHY"
        return True

    def show(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/instances/{self.id}")["instance"]
        return found

    def pid(self) -> int:
        """0 while there is no engine."""
        return int(self._pid_file.read_text()) if self._pid_file.exists() else 0

    def kill(self) -> int:
        """The engine, by hand, in an instant at which it runs."""
        killed = self.pid()
        os.kill(killed, signal.SIGKILL)
        return killed

    def tells(self, *types: str) -> None:
        """What its owner is told next."""
        told: list[str] = []

        def more() -> bool:
            for message in self.news.claim(10):
                self.news.take(message)
                told.append(message["body"]["type"])
            return len(told) >= len(types)

        self.within(" and ".join(types), more, SHOWN_WITHIN)
        assert told == list(types)

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
    first = watched.show()
    assert 0 < first["volume"]["used"] < 1
    watched.within(
        "heard again", lambda: watched.show()["service_status_updated"] > first["service_status_updated"], SHOWN_WITHIN
    )


def test_one_kill_by_hand_shows_and_is_told_and_so_is_the_recovery(watched: Watched) -> None:
    """However soon it is back, and at the first time."""
    watched.becomes("HEALTHY")
    before = watched.show().get("engine_deaths", 0)
    killed = watched.kill()
    watched.within("dead once more", lambda: watched.show().get("engine_deaths") == before + 1, SHOWN_WITHIN)
    watched.tells("instance.engine_down", "instance.engine_up")
    watched.becomes("HEALTHY")
    shown = watched.show()
    assert (shown["status"], shown["engine_deaths"]) == ("ACTIVE", before + 1)
    assert shown["engine_died"] <= shown["service_status_updated"]
    assert watched.pid() not in (0, killed)


def test_an_engine_that_hangs_shows_and_again_when_it_goes_on(watched: Watched) -> None:
    watched.becomes("HEALTHY")
    before = watched.show().get("engine_deaths", 0)
    os.kill(watched.pid(), signal.SIGSTOP)
    try:
        watched.becomes("BLOCKED")
        watched.tells("instance.engine_down")
    finally:
        os.kill(watched.pid(), signal.SIGCONT)
    watched.becomes("HEALTHY")
    watched.tells("instance.engine_up")
    assert watched.show().get("engine_deaths", 0) == before
