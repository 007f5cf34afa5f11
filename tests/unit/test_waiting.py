"""A step is not silent while it waits for one long call of the cloud; a wait ends on word of a change."""

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.waiting import cloud_calls, until
from clouds.changes import Changes
from clouds.ports import CloudError
from tests.support.local_guest import eventually


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


# -- waits that end on word of a change


def waiting(changes: Changes, key: str, look: Callable[[], str | None]) -> Callable[[], str]:
    def step() -> str:
        with changes.watch(key) as watch:
            return until(look, watch, first=0.01, most=0.01)

    return step


def trusted(longest_rest: float) -> Changes:
    changes = Changes(longest_rest)
    with changes.watch("any"):
        changes.tell("any")
    assert changes.trusted
    return changes


class Thing:
    """Looks at it are counted; it is there from `appear` on."""

    def __init__(self) -> None:
        self.looks = 0
        self.looked = threading.Event()
        self._there = False

    def appear(self) -> None:
        self._there = True

    def look(self) -> str | None:
        self.looks += 1
        self.looked.set()
        return "there" if self._there else None


def in_thread(step: Callable[[], str]) -> "Future[str]":
    pool = ThreadPoolExecutor(1)
    future = pool.submit(ActivityEnvironment().run, step)
    pool.shutdown(wait=False)
    return future


def test_a_wait_ends_on_word_of_the_thing_and_of_no_other() -> None:
    changes, thing = trusted(longest_rest=600), Thing()
    done = in_thread(waiting(changes, "mine", thing.look))
    assert thing.looked.wait(5)
    changes.tell("another")
    thing.appear()
    changes.tell("mine")
    assert done.result(5) == "there"
    assert thing.looks == 2
    assert changes.trusted


def test_word_that_comes_before_the_wait_is_not_lost() -> None:
    changes, thing = trusted(longest_rest=600), Thing()

    def look() -> str | None:
        found = thing.look()
        if found is None:
            thing.appear()
            changes.tell("mine")
        return found

    assert in_thread(waiting(changes, "mine", look)).result(5) == "there"


def test_a_look_that_was_too_early_is_made_again() -> None:
    changes, thing = trusted(longest_rest=600), Thing()
    done = in_thread(waiting(changes, "mine", thing.look))
    assert thing.looked.wait(5)
    thing.looked.clear()
    changes.tell("mine")
    assert thing.looked.wait(5)
    thing.appear()
    assert done.result(5) == "there"
    assert thing.looks == 3


def test_without_any_word_it_polls_as_ever() -> None:
    changes, thing = Changes(longest_rest=600), Thing()
    done = in_thread(waiting(changes, "mine", thing.look))
    assert eventually(lambda: thing.looks > 5)
    thing.appear()
    assert done.result(5) == "there"


def test_word_that_is_missed_once_is_not_waited_for_again() -> None:
    changes, thing = trusted(longest_rest=0.2), Thing()
    done = in_thread(waiting(changes, "mine", thing.look))
    assert thing.looked.wait(5)
    thing.appear()
    assert done.result(5) == "there"
    assert not changes.trusted


def test_who_waits_for_word_looks_at_once_when_none_comes_any_more() -> None:
    changes, thing = trusted(longest_rest=600), Thing()
    done = in_thread(waiting(changes, "mine", thing.look))
    assert thing.looked.wait(5)
    changes.give_up()
    thing.appear()
    assert done.result(5) == "there"


def test_what_was_seen_already_is_looked_at_on_word_only() -> None:
    changes, thing = trusted(longest_rest=600), Thing()
    thing.appear()

    def step() -> str:
        with changes.watch("mine") as watch:
            changes.tell("mine")
            return until(thing.look, watch, seen=True)

    assert in_thread(step).result(5) == "there"
    assert thing.looks == 1


def test_nothing_is_kept_of_what_nobody_waits_for() -> None:
    changes = Changes()
    for number in range(1000):
        changes.tell(f"foreign-{number}")
    assert not changes.trusted
    assert len(changes) == 0
    with changes.watch("mine"):
        assert len(changes) == 1
    assert len(changes) == 0
