"""Requests that wait for messages (`wait=`): asleep until a post rings, and looking by themselves ever less often.

A waiting request holds one of the server's threads, so their number is bounded; who comes beyond it is told to try again.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

from api.errors import ServiceUnavailable
from messaging.bell import Bell

FIRST_LOOK = 2.0
LONGEST_SLEEP = 16.0
"""For what no ring tells of: claims and delays that end, posts on other machines."""

T = TypeVar("T")


class Waiters:
    def __init__(self, most: int, bell: Bell) -> None:
        self.most, self._bell = most, bell
        self._free = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._sleeping: defaultdict[tuple[str, str], set[threading.Event]] = defaultdict(set)

    def until(self, project: str, queue: str, look: Callable[[], T], seconds: float) -> T:
        """What `look` finds as soon as it is something, or what it finds in the end.  Raises ServiceUnavailable when too many wait."""
        if seconds <= 0:
            return look()
        if not self._free.acquire(blocking=False):
            if found := look():
                return found
            raise ServiceUnavailable(
                "Too many requests wait for messages. Try again later, or without `wait`.", {"Retry-After": "5"}
            )
        try:
            return self._wait(project, queue, look, seconds)
        finally:
            self._free.release()

    def ring(self, project: str, queue: str) -> None:
        """Something may be there now."""
        self._wake(project, queue)
        self._bell.ring(project, queue)

    def count(self) -> int:
        with self._lock:
            return sum(len(events) for events in self._sleeping.values())

    def close(self) -> None:
        self._bell.close()

    def _wait(self, project: str, queue: str, look: Callable[[], T], seconds: float) -> T:
        self._bell.listen(self._wake)
        deadline, sleep, rung = time.monotonic() + seconds, FIRST_LOOK, threading.Event()
        with self._lock:
            self._sleeping[project, queue].add(rung)
        try:
            while True:
                found = look()
                left = deadline - time.monotonic()
                if found or left <= 0:
                    return found
                if rung.wait(min(sleep, left)):
                    rung.clear()
                sleep = min(2 * sleep, LONGEST_SLEEP)
        finally:
            self._forget(project, queue, rung)

    def _wake(self, project: str, queue: str) -> None:
        with self._lock:
            for rung in self._sleeping.get((project, queue), ()):
                rung.set()

    def _forget(self, project: str, queue: str, rung: threading.Event) -> None:
        with self._lock:
            self._sleeping[project, queue].discard(rung)
            if not self._sleeping[project, queue]:
                del self._sleeping[project, queue]
