"""Timeouts and retries by class of step, in one place.

The scale shrinks timeouts where a dead worker must be noticed in a second (tests); replay does not compare them.
"""

import os
from datetime import timedelta
from typing import Any

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

SCALE = float(os.environ.get("COFFER_TIMEOUT_SCALE", "1"))


def _seconds(s: float) -> timedelta:
    return timedelta(seconds=s * SCALE)


_RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_interval=_seconds(30))

RECORD: dict[str, Any] = {
    "start_to_close_timeout": _seconds(15),
    "retry_policy": _RETRY,
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}
"""A short SQL transaction: retried until it succeeds, never left running behind an unwinding."""

CLOUD: dict[str, Any] = {
    "start_to_close_timeout": _seconds(1800),
    "heartbeat_timeout": _seconds(20),
    "schedule_to_close_timeout": timedelta(hours=1),
    "retry_policy": _RETRY,
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}
"""Create something in the cloud and see it ready: heartbeats while it waits."""

GUEST_JOB: dict[str, Any] = {
    "start_to_close_timeout": timedelta(hours=24),
    "heartbeat_timeout": _seconds(20),
    "retry_policy": _RETRY,
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}
"""A named job on the guest: bounded by lack of progress inside the activity, not by duration."""

TOLD = _seconds(300)
"""How long a workflow relies on a guest to report the end of a job before it looks itself."""

FORWARD: dict[str, Any] = {
    "start_to_close_timeout": _seconds(1800),
    "heartbeat_timeout": _seconds(20),
    "retry_policy": _RETRY,
}
"""A step that must come to its end however long it takes: undo, removal."""

SHIFT: dict[str, Any] = {
    "start_to_close_timeout": _seconds(900),
    "heartbeat_timeout": _seconds(6),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_interval=timedelta(seconds=5)
    ),
}
"""A shift of a standing duty: it ends by itself well before its time, and its holder's death is noticed within seconds."""

ROUND: dict[str, Any] = {
    "start_to_close_timeout": _seconds(1800),
    "heartbeat_timeout": _seconds(20),
    "retry_policy": RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=5),
}
"""A round that a schedule began: what it does not get done, the next one will."""


def guest_call(deadline: float) -> dict[str, Any]:
    """A read from the guest within `deadline` seconds, all attempts together."""
    return {
        "start_to_close_timeout": timedelta(seconds=deadline),
        "schedule_to_close_timeout": timedelta(seconds=deadline),
        "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=300), maximum_interval=timedelta(seconds=2)),
    }
