"""A real agent sends to each store and reads from it, by URLs that it is granted as it goes on."""

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clouds.objects import Segment, StoredObject, UrlRules
from guests import transfer
from guests.client import Result
from guests.errors import GuestError, GuestUnreachable, JobFailed
from guests.jobs import JobStatus
from guests.transfer import Granted, run_transfer
from tests.contract.objects.conftest import KEYS, Stored
from tests.guest_agent.server import RpcError, Server, running_server

MIB = 1 << 20
NUMBERS = itertools.count(1)
LIFETIME = 3600.0


class Direct:
    """A guest's client on its own socket, without the SSH that carries it elsewhere."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def call(self, method: str, params: dict[str, Any] | None = None, deadline: float = 10.0) -> Result:
        try:
            answer: Result = self._server.call(method, **(params or {}))
        except RpcError as error:
            raise GuestError(error.type, str(error)) from error
        except OSError as error:
            raise GuestUnreachable("the agent is away") from error
        return answer


class Guest:
    def __init__(self, server: Server, stored: Stored) -> None:
        self.server, self.stored = server, stored
        self.granted: list[tuple[int, int]] = []

    @contextlib.contextmanager
    def connect(self) -> Iterator[Direct]:
        yield Direct(self.server)

    def segments(self, first: int, count: int) -> list[str]:
        self.granted.append((first, count))
        return self.stored.store.segment_urls(self.stored.key, first, count)

    def run(self, kind: str, granted: Granted, on_progress: Callable[[JobStatus], None] = lambda _: None, **spec: Any) -> Result:
        number = next(NUMBERS)
        return run_transfer(
            self.connect, f"job-{number}", number, kind, spec, granted, on_progress=on_progress, no_progress_deadline=60, beat=0.5
        )

    def upload(self, size: int, segment_size: int, on_progress: Callable[[JobStatus], None] = lambda _: None) -> StoredObject:
        done = self.run("check_upload", Granted(LIFETIME, self.segments), on_progress, size=size, segment_size=segment_size)
        assert done["size"] == size
        segments = [Segment(**one) for one in done["segments"]]
        return self.stored.store.commit_object(self.stored.key, segments, done["sha256"])

    def download(self, stored: StoredObject, **changes: Any) -> Result:
        granted = Granted(LIFETIME, download=lambda: self.stored.store.download_url(self.stored.key))
        return self.run("check_download", granted, **{"size": stored.size, "sha256": stored.sha256, **changes})

    def pid(self) -> int:
        return int((self.server.path / "run/agent.pid").read_text())

    def memory(self, what: str) -> int:
        """Bytes, by its name in /proc/PID/status."""
        [line] = [line for line in Path(f"/proc/{self.pid()}/status").read_text().splitlines() if line.startswith(what)]
        return int(line.split()[1]) << 10

    def secrets(self) -> list[str]:
        """Files of the server that a signature is in."""
        found = [path for path in self.server.path.rglob("*") if path.is_file() and b"temp_url_sig" in path.read_bytes()]
        return [str(path) for path in found]


@pytest.fixture
def guest(stored: Stored) -> Iterator[Guest]:
    with running_server("stub", agent_module="tests.support.stub_agent") as server:
        yield Guest(server, stored)


def test_what_goes_up_comes_down(guest: Guest) -> None:
    stored = guest.upload(5 * MIB + 1, MIB)
    assert (stored.size, guest.stored.driver.held(stored.key.project)) == (5 * MIB + 1, 7)
    guest.download(stored)
    assert guest.secrets() == []


def test_more_urls_are_granted_as_it_goes_on(guest: Guest) -> None:
    count = 3 * transfer.WINDOW
    assert guest.upload(count * 1000, 1000).size == count * 1000
    assert guest.granted[0] == (1, transfer.WINDOW)
    assert len(guest.granted) >= 3
    assert all(size <= transfer.WINDOW for _, size in guest.granted)


@pytest.mark.parametrize("wrong", [{"sha256": "ab" * 32}, {"size": 1000}, {"size": 3 * MIB}])
def test_an_object_that_is_another_is_not_taken(guest: Guest, wrong: dict[str, Any]) -> None:
    stored = guest.upload(2 * MIB, MIB)
    with pytest.raises(JobFailed) as failed:
        guest.download(stored, **wrong)
    assert failed.value.type == "TransferFailed"
    assert "temp_url" not in failed.value.message


def test_a_url_that_is_over_is_replaced_by_another(guest: Guest) -> None:
    """The first ones have ended before they come; the guest says that it has none, and is granted others."""
    store, first = guest.stored.driver.connect(UrlRules(KEYS, lifetime=-1)), threading.Event()

    def segments(number: int, count: int) -> list[str]:
        fresh = guest.stored.store if first.is_set() else store
        first.set()
        return fresh.segment_urls(guest.stored.key, number, count)

    done = guest.run("check_upload", Granted(LIFETIME, segments), size=3 * MIB, segment_size=MIB)
    assert len(done["segments"]) == 3


def test_an_agent_that_is_killed_sends_all_of_it_again(guest: Guest) -> None:
    deaths: list[int] = []

    def kill_once(status: JobStatus) -> None:
        if not deaths and guest.stored.store.objects(guest.stored.key.project):
            deaths.append(guest.pid())
            os.kill(deaths[0], signal.SIGKILL)

    stored = guest.upload(40 * MIB, MIB, kill_once)
    assert deaths
    assert deaths[0] != guest.pid()
    assert [first for first, _ in guest.granted].count(1) >= 2, "the new agent was granted nothing from the beginning"
    assert guest.stored.driver.held(stored.key.project) == 41
    guest.download(stored)


def test_a_shorter_attempt_leaves_nothing_of_a_longer_one(guest: Guest) -> None:
    guest.run("check_upload", Granted(LIFETIME, guest.segments), size=4 * MIB, segment_size=MIB)
    stored = guest.upload(2 * MIB, MIB)
    assert guest.stored.driver.held(stored.key.project) == 3


def test_memory_is_bounded_by_a_segment(guest: Guest) -> None:
    before, segment = guest.memory("VmRSS"), 16 * MIB
    stored = guest.upload(300 * MIB, segment)
    assert guest.memory("VmHWM") - before < segment + 6 * MIB
    guest.download(stored)
    assert guest.memory("VmHWM") - before < segment + 8 * MIB


def test_what_is_granted_to_another_transfer_is_dropped(guest: Guest) -> None:
    answer = guest.server.call("transfer.grant", transfer="somebody-else", urls=["http://127.0.0.1:1/v1/a?temp_url_sig=1"])
    assert answer == {"sent": 0, "granted": 0, "download": False}


@pytest.mark.parametrize(
    "params", [{}, {"transfer": "t", "urls": ["file:///etc/passwd"]}, {"transfer": "t", "first": 0}, {"transfer": "t", "more": 1}]
)
def test_a_grant_that_makes_no_sense_is_refused(guest: Guest, params: dict[str, Any]) -> None:
    with pytest.raises(RpcError) as refused:
        guest.server.call("transfer.grant", **params)
    assert refused.value.type == "InvalidRequest"
