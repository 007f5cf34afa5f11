"""A step is not silent while it waits for one long call of the cloud."""

import dataclasses
import threading
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.waiting import cloud_calls
from clouds.ports import CloudError


def environment(heartbeat_timeout: timedelta | None = None) -> tuple[ActivityEnvironment, threading.Event]:
    beaten = threading.Event()
    env = ActivityEnvironment()
    env.info = dataclasses.replace(env.info, heartbeat_timeout=heartbeat_timeout)
    env.on_heartbeat = lambda *details: beaten.set()
    return env, beaten


def test_a_long_call_sends_heartbeats() -> None:
    env, beaten = environment(timedelta(seconds=0.2))

    def step() -> bool:
        with cloud_calls():
            return beaten.wait(10)

    assert env.run(step)


def test_heartbeats_end_with_the_call() -> None:
    env, _ = environment(timedelta(seconds=0.2))

    def step() -> list[str]:
        with cloud_calls():
            during = [thread.name for thread in threading.enumerate()]
        assert "heartbeat" in during
        return [thread.name for thread in threading.enumerate()]

    assert "heartbeat" not in env.run(step)


@pytest.mark.parametrize(
    ("error", "final", "delay"),
    [
        (CloudError("wrong", 400), True, None),
        (CloudError("Quota exceeded", 403), True, None),
        (CloudError("busy", 503, retry_after=7.0), False, timedelta(seconds=7)),
        (CloudError("away", 503), False, None),
    ],
    ids=lambda value: str(value),
)
def test_an_error_of_the_cloud_is_the_steps(error: CloudError, final: bool, delay: Any) -> None:
    env, _ = environment()

    def step() -> None:
        with cloud_calls():
            raise error

    with pytest.raises(ApplicationError) as failed:
        env.run(step)
    assert (failed.value.non_retryable, failed.value.next_retry_delay) == (final, delay)
