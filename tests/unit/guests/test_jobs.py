"""run_job against a guest that is a script of answers."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from guests.client import GuestClient
from guests.errors import GuestError, GuestUnreachable, HostKeyMismatch, JobFailed, NoProgress
from guests.jobs import JobStatus, Progress, run_job

Answer = dict[str, Any] | Exception


class Script:
    """Gives the answers one after the other, the last one for ever, and keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.params: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def connect(self) -> Iterator[GuestClient]:
        yield self

    def call(self, method: str, params: dict[str, Any] | None = None, deadline: float = 10.0) -> dict[str, Any]:
        self.asked.append(method)
        self.params.append(params or {})
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def status(state: str, revision: int = 0, **more: Any) -> dict[str, Any]:
    return {"state": state, "revision": revision, "progress": None, "result": None, "error": None} | more


DONE = status("succeeded", 9, result={"port": 3306})
LOST = GuestUnreachable("lost", sent=True)


def run(script: Script, on_progress: Callable[[JobStatus], None] = lambda _: None, **more: Any) -> dict[str, Any]:
    return run_job(
        script.connect, "op-prepare", 3, "prepare", {"users": []}, on_progress=on_progress, pause=lambda _: None, **more
    )


def test_a_job_is_started_watched_and_its_result_given() -> None:
    progress = {"step": "start", "done": 2, "total": 7}
    script = Script(status("in_progress", 1), status("in_progress", 2, progress=progress), DONE)
    seen: list[JobStatus] = []
    assert run(script, seen.append) == {"port": 3306}
    assert script.asked == ["job.start", "job.status", "job.status"]
    assert script.params[0] == {"job_id": "op-prepare", "generation": 3, "kind": "prepare", "spec": {"users": []}}
    assert [params["after"] for params in script.params[1:]] == [1, 2]
    assert [one.revision for one in seen] == [0, 1, 2, 9]
    assert seen[2].progress == Progress("start", 2, 7)


def test_a_job_that_ended_before_gives_its_result_at_once() -> None:
    script = Script(DONE)
    assert run(script) == {"port": 3306}
    assert script.asked == ["job.start"]


def test_a_failed_job_tells_its_reason() -> None:
    error = {"type": "DatabaseExists", "message": "There is a database 'shop'."}
    with pytest.raises(JobFailed) as failed:
        run(Script(status("in_progress", 1), status("failed", 2, error=error)))
    assert (failed.value.type, failed.value.message) == ("DatabaseExists", "There is a database 'shop'.")


@pytest.mark.parametrize("trouble", [LOST, GuestError("EngineUnavailable", "starting"), GuestError("Internal", "bug")])
@pytest.mark.parametrize("after_start", [False, True])
def test_trouble_that_may_pass_is_waited_out(trouble: Exception, after_start: bool) -> None:
    first = [status("in_progress", 1)] if after_start else []
    assert run(Script(*first, trouble, trouble, status("in_progress", 1), DONE)) == {"port": 3306}


def test_a_job_that_the_guest_has_forgotten_is_started_again() -> None:
    script = Script(status("in_progress", 4), LOST, status("not_started"), status("in_progress", 1), DONE)
    assert run(script) == {"port": 3306}
    assert script.asked == ["job.start", "job.status", "job.status", "job.start", "job.status"]


@pytest.mark.parametrize("refusal", [GuestError("SpecChanged", "no"), GuestError("StaleGeneration", "no"), HostKeyMismatch("no")])
def test_what_cannot_pass_ends_the_wait(refusal: Exception) -> None:
    with pytest.raises(type(refusal)):
        run(Script(status("in_progress", 1), refusal))


@pytest.mark.parametrize(
    "answers",
    [
        [status("in_progress", 1)],
        [status("in_progress", 1), LOST],
        [LOST],
        [status("not_started")],
        [status("in_progress", 1), status("not_started")],
        [GuestError("EngineUnavailable", "crashing")],
    ],
    ids=["same revision", "contact lost", "never reached", "never begun", "forgotten again and again", "no engine"],
)
def test_nothing_new_for_too_long_is_no_progress(answers: list[Answer]) -> None:
    with pytest.raises(NoProgress, match="op-prepare"):
        run(Script(*answers), no_progress_deadline=0.05)


def test_a_slow_job_that_gets_on_may_take_as_long_as_it_needs() -> None:
    steps = [status("in_progress", revision) for revision in range(1, 41)]
    done = DONE | {"revision": 41}
    started = time.monotonic()
    assert run(Script(*steps, done), lambda _: time.sleep(0.005), no_progress_deadline=0.1) == {"port": 3306}
    assert time.monotonic() - started > 0.1


def test_the_watcher_hears_something_while_the_guest_is_away_and_may_end_the_wait() -> None:
    heard = []

    def impatient(seen: JobStatus) -> None:
        heard.append(seen)
        if len(heard) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Script(LOST), impatient)


@pytest.mark.parametrize("nonsense", [{}, {"state": "asleep"}, {"state": "in_progress", "revision": 1, "progress": {"step": 1}}])
def test_nonsense_is_an_internal_error_of_the_agent(nonsense: dict[str, Any]) -> None:
    with pytest.raises(NoProgress, match="no job status"):
        run(Script(nonsense), no_progress_deadline=0.02)
