"""Processes that work in the storm and are killed in it, and how far they have come."""

import json
import multiprocessing
import random
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from tests.messaging.storm import history, http_worker, worker

# Processes that begin with everything imported: starting an interpreter costs more than the storm itself.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([worker.__name__, http_worker.__name__])


class Crew:
    """The processes of one role."""

    def __init__(self, count: int, work: Callable[..., None], *orders: Any) -> None:
        self._work, self._orders = work, orders
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
        process = _PROCESSES.Process(target=self._work, args=self._orders)
        process.start()
        return process


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
