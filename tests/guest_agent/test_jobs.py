"""The journal's promises, with steps that take no time."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guest_agent import files, journal
from guest_agent.errors import DatabaseExists, EngineUnavailable, InvalidRequest, SpecChanged, StaleGeneration, UnknownMethod
from guest_agent.jobs import Jobs, Notes, Step
from guest_agent.journal import Journal

STEPS = ("one", "two", "three")
SECRET = "correct horse"


def start_jobs(state_dir: Path, build: Callable[[str, dict[str, Any]], list[Step]], retry_for: float = 1.0) -> Jobs:
    started = Jobs(Journal(state_dir), build, retry_for=retry_for)
    started.resume()
    return started


def finished(started: Jobs, job_id: str) -> dict[str, Any]:
    status = started.status(job_id)
    while status["state"] == "in_progress":
        status = started.status(job_id, wait=10, after=status["revision"])
    return status


class Recorder:
    """Builds jobs of kind `add`, whose steps each put their name into a file if it is not there yet."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def build(self, kind: str, spec: dict[str, Any]) -> list[Step]:
        if kind != "add":
            raise UnknownMethod(kind)
        if "refuse" in spec:
            raise InvalidRequest("refused")
        return [Step(name, self.act(name, spec)) for name in STEPS]

    def act(self, name: str, spec: dict[str, Any]) -> Callable[[Notes], dict[str, Any]]:
        def run(notes: Notes) -> dict[str, Any]:
            if notes.get(name) is None:
                notes.put(name, f"about to make {name}")
            present = self.made.read_text().split() if self.made.exists() else []
            if name not in present:
                self.made.write_text(" ".join([*present, name]))
            return {name: f"made for {spec['who']}"}

        return run


SPEC = {"who": "ada", "password": SECRET}
RESULT = dict.fromkeys(STEPS, "made for ada")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_in_child(act: Callable[[], None]) -> int:
    """Run `act` in a process of its own; how that process ended, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run_job(tmp_path: Path) -> dict[str, Any]:
    started = start_jobs(tmp_path / "state", Recorder(tmp_path / "made").build)
    started.start("job", 1, "add", SPEC)
    return finished(started, "job")


def assert_done_once(tmp_path: Path, status: dict[str, Any]) -> None:
    assert (status["state"], status["result"], status["error"]) == ("succeeded", RESULT, None)
    assert status["progress"] == {"step": "three", "done": 3, "total": 3}
    assert (tmp_path / "made").read_text().split() == list(STEPS)


def test_runs_steps_in_order_and_merges_their_results(tmp_path: Path) -> None:
    assert_done_once(tmp_path, run_job(tmp_path))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_around_a_steps_effect(tmp_path: Path, step: str, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    act = Recorder.act

    def deadly(self: Recorder, name: str, spec: dict[str, Any]) -> Callable[[Notes], dict[str, Any]]:
        effect = act(self, name, spec)

        def run(notes: Notes) -> dict[str, Any]:
            if name == step and when == "before":
                die()
            result = effect(notes)
            if name == step:
                die()
            return result

        return run

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "act", deadly)
        assert run_in_child(lambda: run_job(tmp_path) and None) == -signal.SIGKILL
    assert_done_once(tmp_path, run_job(tmp_path))


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_killed_at_every_touch_of_the_disk(tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as there is an n-th call to die before: die, start again, and end as if nothing had been."""
    original = getattr(os, call)
    survived = False
    instant = 0
    while not survived:
        instant += 1
        here = tmp_path / str(instant)
        here.mkdir()
        countdown = iter(range(instant - 1, -1, -1))

        def deadly(*arguments: Any, countdown: Any = countdown) -> Any:
            if next(countdown, 1) == 0:
                die()
            return original(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(files.os, call, deadly)
            survived = run_in_child(lambda here=here: run_job(here) and None) == 0
        assert_done_once(here, run_job(here))
    assert instant > 2 * len(STEPS)


def test_goes_on_at_the_step_that_had_begun(tmp_path: Path) -> None:
    ran: list[str] = []

    def build(deadly: bool) -> Callable[[str, dict[str, Any]], list[Step]]:
        def step(name: str) -> Step:
            def run(notes: Notes) -> dict[str, Any]:
                (tmp_path / "ran").open("a").write(f"{name} ")
                if deadly and name == "two":
                    notes.put("seen", 7)
                    die()
                return {"seen": notes.get("seen")}

            return Step(name, run)

        return lambda kind, spec: [step(name) for name in STEPS]

    def first_life() -> None:
        started = start_jobs(tmp_path / "state", build(deadly=True))
        started.start("job", 1, "any", {})
        finished(started, "job")

    assert run_in_child(first_life) == -signal.SIGKILL
    status = finished(start_jobs(tmp_path / "state", build(deadly=False)), "job")
    ran = (tmp_path / "ran").read_text().split()
    assert ran == ["one", "two", "two", "three"]
    assert status["result"] == {"seen": 7}


def test_a_repeated_start_gives_the_first_result_also_after_a_restart(tmp_path: Path) -> None:
    first = run_job(tmp_path)
    (tmp_path / "made").unlink()
    again = start_jobs(tmp_path / "state", Recorder(tmp_path / "made").build)
    assert again.start("job", 1, "add", SPEC) == first
    assert again.start("job", 2, "add", dict(reversed(SPEC.items()))) == first
    assert not (tmp_path / "made").exists()


def test_another_spec_or_kind_under_a_known_id_is_refused(tmp_path: Path) -> None:
    run_job(tmp_path)
    started = start_jobs(tmp_path / "state", Recorder(tmp_path / "made").build)
    for kind, spec in (("add", {**SPEC, "password": "other"}), ("remove", SPEC)):
        with pytest.raises(SpecChanged):
            started.start("job", 1, kind, spec)


def test_a_lower_generation_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "made")
    started = start_jobs(tmp_path / "state", recorder.build)
    started.start("job", 5, "add", SPEC)
    assert finished(started, "job")["state"] == "succeeded"
    for same in (started, start_jobs(tmp_path / "state", recorder.build)):
        with pytest.raises(StaleGeneration):
            same.start("late", 4, "add", SPEC)
        with pytest.raises(StaleGeneration):
            same.start("job", 4, "add", SPEC)
        assert same.generation == 5


@pytest.mark.parametrize(("kind", "spec", "error"), [("add", {"refuse": 1}, InvalidRequest), ("fly", {}, UnknownMethod)])
def test_what_is_refused_at_start_leaves_nothing(tmp_path: Path, kind: str, spec: dict[str, Any], error: type[Exception]) -> None:
    started = start_jobs(tmp_path, Recorder(tmp_path / "made").build)
    with pytest.raises(error):
        started.start("job", 9, kind, spec)
    assert started.status("job")["state"] == "not_started"
    assert started.generation == 0
    assert list((tmp_path / "jobs").iterdir()) == []


def test_no_secret_stays_on_disk_once_a_job_has_ended(tmp_path: Path) -> None:
    run_job(tmp_path)
    on_disk = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert SECRET.encode() not in on_disk
    assert b"about to make" not in on_disk
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state").rglob("*")}
    assert modes == {"jobs": 0o700, "job.json": 0o600, "generation": 0o600, "digest.key": 0o600}


def test_a_failure_is_kept_with_its_type(tmp_path: Path) -> None:
    def fail(_: Notes) -> None:
        raise DatabaseExists("There is one already.")

    started = start_jobs(tmp_path, lambda kind, spec: [Step("check", fail), Step("never", fail)])
    started.start("job", 1, "any", {})
    status = finished(started, "job")
    assert status["state"] == "failed"
    assert status["result"] is None
    assert status["error"] == {"type": "DatabaseExists", "message": "There is one already."}
    assert status["progress"] == {"step": "check", "done": 0, "total": 2}


def test_a_bug_fails_the_job_without_telling_values_and_the_next_job_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(_: Notes) -> None:
        raise KeyError(SECRET)

    started = start_jobs(tmp_path, lambda kind, spec: [Step("only", stumble if kind == "bad" else lambda notes: None)])
    started.start("job", 1, "bad", {})
    started.start("next", 1, "good", {})
    assert finished(started, "job")["error"] == {"type": "Internal", "message": "KeyError in step only."}
    assert finished(started, "next")["state"] == "succeeded"
    assert "KeyError" in caplog.text
    assert SECRET not in caplog.text


def test_an_engine_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    answers = iter([False, False, True])

    def ask(_: Notes) -> None:
        if not next(answers):
            raise EngineUnavailable("not yet")

    started = start_jobs(tmp_path, lambda kind, spec: [Step("ask", ask)])
    started.start("job", 1, "any", {})
    assert finished(started, "job")["state"] == "succeeded"


def test_but_not_for_ever(tmp_path: Path) -> None:
    def ask(_: Notes) -> None:
        raise EngineUnavailable("never")

    started = start_jobs(tmp_path, lambda kind, spec: [Step("ask", ask)], retry_for=0.2)
    started.start("job", 1, "any", {})
    assert finished(started, "job")["error"]["type"] == "EngineUnavailable"


def test_jobs_run_one_at_a_time_in_order_of_arrival_also_after_a_restart(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    names = [f"job-{number}" for number in (3, 1, 2)]

    def life(deadly: bool) -> Jobs:
        def build(kind: str, spec: dict[str, Any]) -> list[Step]:
            def write(_: Notes) -> None:
                if deadly:
                    die()
                with diary.open("a") as file:
                    file.write(f"{spec['name']} ")

            return [Step("write", write)]

        return start_jobs(tmp_path / "state", build)

    def first_life() -> None:
        # Dead before the runner wakes, or in the first job's step: in either case none has written.
        stopped = Jobs(Journal(tmp_path / "state"), lambda kind, spec: [Step("write", lambda notes: None)])
        for name in names:
            stopped.start(name, 1, "any", {"name": name})
        life(deadly=True).status("none", wait=10)

    assert run_in_child(first_life) == -signal.SIGKILL
    second = life(deadly=False)
    for name in names:
        assert finished(second, name)["state"] == "succeeded"
    assert diary.read_text().split() == names


def test_status_is_held_back_until_there_is_news(tmp_path: Path) -> None:
    gate = threading.Event()

    def wait_for_gate(_: Notes) -> None:
        assert gate.wait(10)

    started = start_jobs(tmp_path, lambda kind, spec: [Step("gate", wait_for_gate)])
    began = started.start("job", 1, "any", {})
    assert started.status("job", wait=0.05, after=began["revision"]) == began
    opener = threading.Timer(0.05, gate.set)
    opener.start()
    ended = started.status("job", wait=30, after=began["revision"])
    assert (ended["state"], ended["revision"]) == ("succeeded", began["revision"] + 1)
    # Nothing more can come, so there is nothing to hold back for.
    assert started.status("job", wait=30, after=99) == ended


def test_clean_forgets_an_ended_job_and_only_that(tmp_path: Path) -> None:
    gate = threading.Event()

    def wait_for_gate(_: Notes) -> None:
        assert gate.wait(10)

    started = start_jobs(tmp_path, lambda kind, spec: [Step("gate", wait_for_gate)])
    started.start("job", 1, "any", {})
    with pytest.raises(InvalidRequest):
        started.clean("job")
    gate.set()
    finished(started, "job")
    started.clean("job")
    started.clean("job")
    assert started.status("job") == journal.NOT_STARTED
    assert start_jobs(tmp_path, lambda kind, spec: []).status("job") == journal.NOT_STARTED


def test_a_higher_generation_forgets_the_ended_jobs_before_it(tmp_path: Path) -> None:
    """They can't be asked for again: their generation is refused from now on."""
    started = start_jobs(tmp_path, Recorder(tmp_path / "made").build)
    for generation, job_id in enumerate(("first", "second", "third"), start=1):
        started.start(job_id, generation, "add", SPEC)
        finished(started, job_id)
    assert [path.stem for path in (tmp_path / "jobs").iterdir()] == ["third"]
    assert started.status("first")["state"] == "not_started"
    with pytest.raises(StaleGeneration):
        started.start("first", 1, "add", SPEC)


def test_a_journal_that_cannot_be_written_ends_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    def life() -> None:
        def fill(_: Notes) -> None:
            monkeypatch.setattr(journal, "write_durably", full)

        started = start_jobs(tmp_path / "state", lambda kind, spec: [Step("fill", fill)])
        started.start("job", 1, "any", {})
        finished(started, "job")

    assert run_in_child(life) == 1
    again = start_jobs(tmp_path / "state", lambda kind, spec: [Step("fill", lambda notes: None)])
    assert finished(again, "job")["state"] == "succeeded"


def test_the_digest_needs_the_guests_own_key(tmp_path: Path) -> None:
    one, other = Journal(tmp_path / "one"), Journal(tmp_path / "other")
    assert one.digest("add", SPEC) == Journal(tmp_path / "one").digest("add", SPEC)
    assert one.digest("add", SPEC) != other.digest("add", SPEC)


def test_who_listens_hears_of_every_change_and_can_look_over_all(tmp_path: Path) -> None:
    gate, heard = threading.Event(), threading.Semaphore(0)

    def build(kind: str, spec: dict[str, Any]) -> list[Step]:
        return [Step("one", lambda notes: {}), Step("two", lambda notes: {"waited": gate.wait(10)})]

    started = start_jobs(tmp_path, build)
    started.listen(heard.release)
    for job_id in ("a", "b", "c"):
        started.start(job_id, 1, "x", {})
    assert [record.job_id for record in started.overview()] == ["a", "b", "c"]
    gate.set()
    for job_id in ("a", "b", "c"):
        finished(started, job_id)
    # Each has begun, entered its second step, and ended.
    assert all(heard.acquire(timeout=10) for _ in range(9))
    assert not heard.acquire(blocking=False)
    assert [record.job_id for record in started.overview()] == ["c"]
    started.clean("c")
    assert [record.job_id for record in started.overview()] == ["b"]
