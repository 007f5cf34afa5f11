"""Requests that wait for messages (`wait=`): asleep until a post rings, or until a delay or claim ends.

Posts on other machines ring no bell here; one look now and then for all queues that are waited for finds them.
A waiting request holds one of the server's threads, so their number is bounded; who comes beyond it is told to try again.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from api.errors import ServiceUnavailable
from messaging.bell import Bell
from messaging.errors import MessagingError

log = structlog.get_logger(__name__)

SLOW_LOOK = 15.0
LEAST_SLEEP = 0.05

Queue = tuple[str, str]
"""Project and name."""
Due = Callable[[Collection[Queue]], Mapping[Queue, float]]
"""In how many seconds a message can be claimed from those of the queues that hold any; 0 for now."""
T = TypeVar("T")


class Waiters:
    def __init__(self, most: int, bell: Bell, due: Due, *, slow_look: float = SLOW_LOOK) -> None:
        self.most, self._bell, self._due, self._slow_look = most, bell, due, slow_look
        self._free = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._sleeping: defaultdict[Queue, set[threading.Event]] = defaultdict(set)
        self._looking_out = False
        self._closed = threading.Event()

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
            return self._wait((project, queue), look, seconds)
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
        self._closed.set()
        self._bell.close()

    def _wait(self, queue: Queue, look: Callable[[], T], seconds: float) -> T:
        self._bell.listen(self._wake)
        deadline, rung = time.monotonic() + seconds, threading.Event()
        self._join(queue, rung)
        try:
            while True:
                found = look()
                left = deadline - time.monotonic()
                if found or left <= 0:
                    return found
                # What is there already is not what this request waits for: its own, say, or behind its marker.
                due = self._due([queue]).get(queue) or left
                if rung.wait(min(max(due, LEAST_SLEEP), left)):
                    rung.clear()
        finally:
            self._leave(queue, rung)

    def _wake(self, project: str, queue: str) -> None:
        with self._lock:
            for rung in self._sleeping.get((project, queue), ()):
                rung.set()

    def _join(self, queue: Queue, rung: threading.Event) -> None:
        with self._lock:
            self._sleeping[queue].add(rung)
            if not self._looking_out:
                self._looking_out = True
                threading.Thread(target=self._look_out, name="lookout", daemon=True).start()

    def _leave(self, queue: Queue, rung: threading.Event) -> None:
        with self._lock:
            self._sleeping[queue].discard(rung)
            if not self._sleeping[queue]:
                del self._sleeping[queue]

    def _look_out(self) -> None:
        """For as long as anybody waits."""
        while not self._closed.wait(self._slow_look):
            with self._lock:
                queues = list(self._sleeping)
                self._looking_out = bool(queues)
            if not queues:
                return
            try:
                ready = [queue for queue, seconds in self._due(queues).items() if seconds <= 0]
            except (MessagingError, SQLAlchemyError) as e:
                log.warning("could not look whether there is something for those that wait", reason=type(e).__name__)
                continue
            for queue in ready:
                self._wake(*queue)
