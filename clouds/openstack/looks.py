"""Looks of many waiters made one list call: polling costs by the second, not by the operation."""

import threading
import time
from collections.abc import Callable, Set
from typing import Generic, TypeVar

from clouds.ports import CloudError

T = TypeVar("T")
COST_SHARE = 4.0
"""A list call that takes t seconds is followed by at least this many times t of rest: a slow service is asked less often."""
LONGEST_REST = 5.0
"""But those who wait are not kept for longer."""


class _Look(Generic[T]):
    def __init__(self, key: str) -> None:
        self.key = key
        self.woken = threading.Event()
        self.leads = False
        self.found: T | None = None
        self.error: CloudError | None = None


class Looks(Generic[T]):
    """`show(key)` answers from a list that was asked for after the call: never older than the question.

    `ask` gets the keys that are looked for and gives what it found of them.  It is called at most once per `interval` seconds,
    by one of the waiting threads for all; what it raises, all who waited for it get.  While the service wants to be left alone
    (`CloudError.retry_after`) nobody asks, and everybody is told so at once.
    """

    def __init__(self, ask: Callable[[Set[str]], dict[str, T]], interval: float) -> None:
        self._ask, self._interval = ask, interval
        self._lock = threading.Lock()
        self._pending: list[_Look[T]] = []
        self._led = False
        self._next_at = 0.0
        self._refusal: CloudError | None = None
        self._refused_until = 0.0
        self._never = threading.Event()

    def show(self, key: str) -> T | None:
        mine: _Look[T] = _Look(key)
        with self._lock:
            left = self._refused_until - time.monotonic()
            if self._refusal and left > 0:
                raise CloudError(str(self._refusal), self._refusal.status, left) from self._refusal
            self._pending.append(mine)
            if not self._led:
                self._led = True
                self._make_leader(mine)
        mine.woken.wait()
        if mine.leads:
            self._answer_all(mine)
        if mine.error:
            raise CloudError(str(mine.error), mine.error.status, mine.error.retry_after) from mine.error
        return mine.found

    def _answer_all(self, leader: _Look[T]) -> None:
        self._never.wait(max(0.0, self._next_at - time.monotonic()))
        with self._lock:
            batch, self._pending = self._pending, []
        begun = time.monotonic()
        found: dict[str, T] = {}
        error: CloudError | None = CloudError("The list call broke off.", 500)
        try:
            found, error = self._ask({look.key for look in batch}), None
        except CloudError as e:
            error = e
        finally:
            now = time.monotonic()
            with self._lock:
                self._next_at = now + min(LONGEST_REST, max(self._interval - (now - begun), COST_SHARE * (now - begun)))
                if error and error.retry_after:
                    self._refusal, self._refused_until = error, now + error.retry_after
                for look in batch:
                    look.found, look.error = found.get(look.key), error
                    if look is not leader:
                        look.woken.set()
                if self._pending:
                    self._make_leader(self._pending[0])
                else:
                    self._led = False

    @staticmethod
    def _make_leader(look: _Look[T]) -> None:
        look.leads = True
        look.woken.set()
