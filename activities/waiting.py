"""How a threaded activity waits: heartbeats, hears a cancel, and lets go when its worker shuts down."""

import threading
from collections.abc import Callable
from typing import TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError

from activities.errors import SHUTTING_DOWN

T = TypeVar("T")
_never = threading.Event()


def still_wanted(*details: str) -> None:
    """Heartbeat; raise when the step was cancelled or the worker goes away (another one takes over at once)."""
    activity.heartbeat(*details)
    if activity.is_cancelled():
        raise CancelledError("the step was cancelled")
    if activity.is_worker_shutdown():
        raise ApplicationError("the worker is shutting down", type=SHUTTING_DOWN)


def until(look: Callable[[], T | None], *, first: float = 0.02, most: float = 5.0) -> T:
    """Call `look` until it gives something, at growing intervals.  A cloud has no event to wait for; its status is asked again."""
    interval = first
    while (found := look()) is None:
        still_wanted()
        # The cancel itself can't wake a thread; short waits keep the answer to it short.
        _never.wait(min(interval, 1.0))
        interval = min(interval * 1.5, most)
    return found
