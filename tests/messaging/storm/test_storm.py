"""Producers, claimers and deleters, some of them killed, on every driver; Redis itself is killed too."""

import json
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from messaging.drivers.base import QueueKey, Selection, Store
from messaging.drivers.registry import open_store
from tests.messaging.conftest import STORES, Urls
from tests.messaging.storm import history, worker
from tests.support.redisserver import redis_server

SLOW_MESSAGES = int(os.environ.get("COFFER_STORM_MESSAGES", "50000"))
PRODUCERS, CLAIMERS = 2, 3
KEY = QueueKey("storm", "queue", 1)
Role = Callable[[Store, QueueKey, history.Log, Path], None]

# Processes that begin with everything imported: starting an interpreter costs more than the storm itself.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([worker.__name__])


@pytest.fixture(scope="module", params=STORES)
def stormy(request: pytest.FixtureRequest, urls: Urls) -> Iterator[tuple[str, Callable[[], None]]]:
    """URI of a store, and what to do to it in the middle."""
    if request.param != "redis":
        yield urls(request.param), lambda: None
        return
    with redis_server() as server:

        def crash() -> None:
            server.kill()
            server.start()

        yield server.url, crash


class Crew:
    """The processes of one role."""

    def __init__(self, role: Role, count: int, url: str, directory: Path) -> None:
        self._orders = (role, url, KEY, directory)
        self.killed = 0
        self._processes = [self._start() for _ in range(count)]

    def kill_one(self) -> None:
        victim = random.randrange(len(self._processes))
        self._processes[victim].kill()
        self._processes[victim].join()
        self._processes[victim] = self._start()
        self.killed += 1

    def wait(self, seconds: float) -> None:
        for process in self._processes:
            process.join(seconds)
            assert process.exitcode == 0

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    def _start(self) -> ForkServerProcess:
        process = _PROCESSES.Process(target=worker.work, args=self._orders)
        process.start()
        return process


def storm(url: str, crash: Callable[[], None], directory: Path, messages: int, kills: int) -> history.Verdict:
    seconds = 30 + messages / 50
    store = open_store(url)
    store.open_queue(KEY)
    began, tally = time.monotonic(), Tally(directory)
    crews = [Crew(worker.produce, PRODUCERS, url, directory), Crew(worker.consume, CLAIMERS, url, directory)]
    try:
        for step in range(1, kills + 1):
            tally.reach(messages * step // (kills + 1), seconds)
            for crew in crews:
                crew.kill_one()
            if step == kills // 2:
                crash()
        tally.reach(messages, seconds)
        (directory / "stop").touch()
        for crew in crews:
            crew.wait(seconds)
    finally:
        for crew in crews:
            crew.end()
    left = [message.id for message in store.select(KEY, Selection(limit=1000, include_claimed=True))]
    store.close()
    verdict = history.judge(history.read(directory), left)
    took = time.monotonic() - began
    print(  # noqa: T201
        f"{url.partition(':')[0]}: {verdict.posted} messages, {verdict.deliveries} deliveries in {took:.1f} s, "
        f"{sum(crew.killed for crew in crews)} processes killed, lost {len(verdict.lost)}, shared {len(verdict.shared)}"
    )
    return verdict


class Tally:
    """Counts acknowledged messages in the logs, reading what is new."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._offsets: dict[Path, int] = {}
        self._posted = 0

    def reach(self, count: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._look() < count:
            assert time.monotonic() < deadline, f"{self._posted} of {count} messages posted in {seconds:.0f} s"
            time.sleep(0.1)

    def _look(self) -> int:
        for path in self._directory.glob("*.log"):
            with path.open("rb") as log:
                log.seek(self._offsets.get(path, 0))
                whole, newline, _rest = log.read().rpartition(b"\n")
            for line in whole.splitlines():
                event = json.loads(line)
                self._posted += len(event["ids"]) if event["kind"] == history.POSTED else 0
            self._offsets[path] = self._offsets.get(path, 0) + len(whole) + len(newline)
        return self._posted


@pytest.mark.parametrize(
    ("messages", "kills"), [(2000, 2), pytest.param(SLOW_MESSAGES, 10, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_no_acknowledged_message_is_lost_or_held_by_two(
    stormy: tuple[str, Callable[[], None]], tmp_path: Path, messages: int, kills: int
) -> None:
    verdict = storm(*stormy, tmp_path, messages, kills)
    assert verdict.posted >= messages
    assert verdict.redelivered > 0
    assert (verdict.lost, verdict.shared, verdict.risen) == ((), (), ())
