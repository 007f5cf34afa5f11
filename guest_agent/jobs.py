"""Named jobs: everything with an effect runs as one, and survives the death of the agent and of the server.

A job is a list of named steps. Before a step begins its name is on disk; an agent that starts goes on at the step that
had begun. So a step may run more than once, and has to give the same end each time.
"""

import logging
import os
import threading
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from guest_agent.errors import EngineUnavailable, GuestError, Internal, InvalidRequest, SpecChanged, StaleGeneration
from guest_agent.journal import FAILED, NOT_STARTED, SUCCEEDED, JobRecord, Journal

LOG = logging.getLogger(__name__)

RETRY_FIRST = 0.1
RETRY_LAST = 2.0


class Notes:
    """A job's memory across its steps and across crashes: what it is about to make, what it has found. No secrets."""

    def __init__(self, values: Mapping[str, Any], save: Callable[[dict[str, Any]], None]) -> None:
        self._values = dict(values)
        self._save = save

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def put(self, key: str, value: Any) -> None:
        """On disk when this returns."""
        self._values[key] = value
        self._save(dict(self._values))


@dataclass(frozen=True)
class Step:
    """What `run` returns is merged into the job's result."""

    name: str
    run: Callable[[Notes], Mapping[str, Any] | None]


Build = Callable[[str, dict[str, Any]], Sequence[Step]]


class Jobs:
    """Runs jobs one at a time in order of arrival, and answers for those that have ended."""

    def __init__(self, journal: Journal, build: Build, retry_for: float = 60.0) -> None:
        self._journal = journal
        self._build = build
        self._retry_for = retry_for
        self._changed = threading.Condition()
        self._on_change: Callable[[], None] = lambda: None
        self._records: dict[str, JobRecord] = {}
        self._queue: deque[str] = deque()
        self._generation = journal.load_generation()
        self._next_order = 1

    def resume(self) -> None:
        """Take up what an earlier agent left unfinished, and begin to run."""
        for record in self._journal.load():
            self._records[record.job_id] = record
            self._next_order = record.order + 1
            if not record.ended:
                self._queue.append(record.job_id)
        threading.Thread(target=self._run_forever, name="jobs", daemon=True).start()

    @property
    def generation(self) -> int:
        return self._generation

    def listen(self, on_change: Callable[[], None]) -> None:
        """`on_change` is called whenever a job has changed, by whoever changed it: it must neither wait nor ask back."""
        with self._changed:
            self._on_change = on_change

    def overview(self) -> list[JobRecord]:
        """The jobs that have not ended, in order of arrival, behind the last one that has."""
        with self._changed:
            records = sorted(self._records.values(), key=lambda record: record.order)
        return [record for record in records if record.ended][-1:] + [record for record in records if not record.ended]

    def _tell(self) -> None:
        self._changed.notify_all()
        self._on_change()

    def start(self, job_id: str, generation: int, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        digest = self._journal.digest(kind, spec)
        with self._changed:
            if generation < self._generation:
                raise StaleGeneration(f"Generation {generation} has been superseded by {self._generation}.")
            known = self._records.get(job_id)
            if known:
                if known.digest != digest:
                    raise SpecChanged(f"Job {job_id} was started with another kind or spec.")
                return known.status()
            # Refuses a spec that cannot be carried out, before anything is remembered of it.
            steps = self._build(kind, spec)
            if generation > self._generation:
                self._supersede(generation)
            record = JobRecord(job_id, self._next_order, kind, digest, spec, steps[0].name, 0, len(steps))
            self._journal.save(record)
            self._next_order += 1
            self._records[job_id] = record
            self._queue.append(job_id)
            self._tell()
            return record.status()

    def _supersede(self, generation: int) -> None:
        """What has ended belongs to lower generations, which are refused from now on, so nobody can ask for it again."""
        self._journal.save_generation(generation)
        self._generation = generation
        for record in [record for record in self._records.values() if record.ended]:
            self._journal.remove(record.job_id)
            del self._records[record.job_id]

    def status(self, job_id: str, wait: float = 0, after: int = 0) -> dict[str, Any]:
        """The job's status; held back, at most `wait` seconds, until it has changed since revision `after` or has ended."""

        def has_news() -> bool:
            record = self._records.get(job_id)
            return record is not None and (record.revision > after or record.ended)

        with self._changed:
            self._changed.wait_for(has_news, timeout=wait)
            record = self._records.get(job_id)
            return record.status() if record else NOT_STARTED

    def clean(self, job_id: str) -> None:
        with self._changed:
            record = self._records.get(job_id)
            if record is None:
                return
            if not record.ended:
                raise InvalidRequest(f"Job {job_id} has not ended.")
            self._journal.remove(job_id)
            del self._records[job_id]

    def _run_forever(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._queue)
                    record = self._records[self._queue.popleft()]
                self._run(record)
        except OSError as error:
            # Without a journal nothing may go on. The next agent takes the job up again at the step it is in.
            LOG.critical("the journal cannot be written: %s", error)
            os._exit(1)

    def _run(self, record: JobRecord) -> None:
        LOG.info("job %s (%s) begins at step %s", record.job_id, record.kind, record.step)
        try:
            assert record.spec is not None
            steps = self._build(record.kind, record.spec)
            for index, step in _from_step(record.step, steps):
                if step.name != record.step:
                    record = self._advance(record, step=step.name, done=index)
                outcome = self._attempt(step, self._notes(record))
                record = replace(self._records[record.job_id], result={**record.result, **(outcome or {})})
        except GuestError as error:
            self._fail(self._records[record.job_id], error)
        except Exception as error:  # noqa: BLE001 - a bug must fail its job and be heard of, not end the runner
            # Neither the message nor local values are logged: either may hold a secret of the spec.
            where = "".join(traceback.format_tb(error.__traceback__))
            LOG.error("job %s: %s in step %s\n%s", record.job_id, type(error).__name__, record.step, where)
            self._fail(self._records[record.job_id], Internal(f"{type(error).__name__} in step {record.step}."))
        else:
            LOG.info("job %s succeeded", record.job_id)
            self._advance(record, state=SUCCEEDED, done=len(steps), spec=None, notes={})

    def _attempt(self, step: Step, notes: Notes) -> Mapping[str, Any] | None:
        """Run a step; an engine that does not answer is asked again for a bounded time."""
        waited, pause = 0.0, RETRY_FIRST
        while True:
            try:
                return step.run(notes)
            except EngineUnavailable:
                if waited >= self._retry_for:
                    raise
            threading.Event().wait(pause)
            waited += pause
            pause = min(pause * 2, RETRY_LAST)

    def _notes(self, record: JobRecord) -> Notes:
        return Notes(record.notes, lambda values: self._remember(record.job_id, values))

    def _remember(self, job_id: str, notes: dict[str, Any]) -> None:
        self._advance(self._records[job_id], notes=notes)

    def _fail(self, record: JobRecord, error: GuestError) -> None:
        LOG.info("job %s failed in step %s: %s", record.job_id, record.step, error.type)
        self._advance(record, state=FAILED, error={"type": error.type, "message": str(error)}, spec=None, notes={})

    def _advance(self, record: JobRecord, **changes: Any) -> JobRecord:
        """The next revision: first on disk, then visible."""
        record = replace(record, revision=record.revision + 1, **changes)
        self._journal.save(record)
        with self._changed:
            self._records[record.job_id] = record
            self._tell()
        return record


def _from_step(name: str, steps: Sequence[Step]) -> list[tuple[int, Step]]:
    """The step that had begun and those after it, each with its place."""
    numbered = list(enumerate(steps))
    for index, step in numbered:
        if step.name == name:
            return numbered[index:]
    raise Internal(f"This agent's job has no step {name}.")
