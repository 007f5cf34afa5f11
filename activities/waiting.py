"""How a threaded activity waits: heartbeats, hears a cancel, and lets go when its worker shuts down."""

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError

from activities.errors import SHUTTING_DOWN, cloud_errors
from clouds.changes import Watch

T = TypeVar("T")
BEATS = 4
"""Heartbeats within the time after which a silent step is given to another worker."""
LONGEST_WAIT = 1.0
_never = threading.Event()


@contextmanager
def cloud_calls() -> Iterator[None]:
    """Calls of the cloud: their errors are the step's, and the step is not silent while one of them lasts.

    A call that hangs does not keep a step for ever: drivers bound each of them.
    """
    with cloud_errors(), _beating():
        yield


@contextmanager
def _beating() -> Iterator[None]:
    timeout = activity.info().heartbeat_timeout
    if timeout is None:
        yield
        return
    done = threading.Event()

    def beat() -> None:
        while not done.wait(timeout.total_seconds() / BEATS):
            activity.heartbeat()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(beat,), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def still_wanted(*details: str) -> None:
    """Heartbeat; raise when the step was cancelled or the worker goes away (another one takes over at once)."""
    activity.heartbeat(*details)
    if activity.is_cancelled():
        raise CancelledError("the step was cancelled")
    if activity.is_worker_shutdown():
        raise ApplicationError("the worker is shutting down", type=SHUTTING_DOWN)


def until(
    look: Callable[[], T | None], watch: Watch | None = None, *, seen: bool = False, first: float = 0.02, most: float = 5.0
) -> T:
    """Call `look` until it gives something: at growing intervals, and as soon as `watch` is told of a change.

    `seen`: there was nothing yet when it was looked at last, after the watch began.
    """
    interval = first
    if seen and watch and watch.expects_word:
        _rest(watch, interval)
    while (found := look()) is None:
        still_wanted()
        interval = first if _rest(watch, interval) else min(interval * 1.5, most)
    return found


def _rest(watch: Watch | None, interval: float) -> bool:
    """Whether it was cut short.  The cancel of a step can't wake a thread; short waits keep the answer to it short."""
    wait = watch.wait if watch else _never.wait
    left = watch.rest(interval) if watch else interval
    while left > LONGEST_WAIT:
        if wait(LONGEST_WAIT):
            return True
        still_wanted()
        left -= LONGEST_WAIT
    return wait(left)
