"""Runs a named job in a guest to its end, whatever dies in between: worker, agent or connection."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from guests.client import GuestClient, Result
from guests.errors import GuestError, GuestUnreachable, JobFailed, NoProgress
from guests.transport import Deadline

HEARTBEAT_SECONDS = 4.0
FIRST_RETRY_SECONDS = 0.1
RETRY_SECONDS = 1.0
TRANSIENT = frozenset({"EngineUnavailable", "Internal"})
"""Error types of a call (not of a job) that may pass."""

JobState = Literal["not_started", "in_progress", "succeeded", "failed"]


@dataclass(frozen=True)
class Progress:
    step: str
    done: int
    total: int


@dataclass(frozen=True)
class JobStatus:
    state: JobState = "not_started"
    revision: int = 0
    progress: Progress | None = None
    result: Result | None = None
    error: tuple[str, str] | None = None
    """Type and message."""

    @classmethod
    def parse(cls, answer: Result) -> "JobStatus":
        """Raises GuestError Internal for what is no job status: a bug in the agent, as any other."""
        try:
            if answer["state"] not in get_args(JobState):
                raise ValueError(answer["state"])
            progress, error = answer.get("progress"), answer.get("error")
            return cls(
                state=cast(JobState, answer["state"]),
                revision=int(answer.get("revision") or 0),
                progress=Progress(str(progress["step"]), int(progress["done"]), int(progress["total"])) if progress else None,
                result=answer.get("result"),
                error=(str(error["type"]), str(error["message"])) if error else None,
            )
        except (KeyError, TypeError, ValueError) as problem:
            raise GuestError("Internal", "the agent's answer is no job status") from problem


def run_job(
    connect: Callable[[], AbstractContextManager[GuestClient]],
    job_id: str,
    generation: int,
    kind: str,
    spec: dict[str, Any],
    *,
    on_progress: Callable[[JobStatus], None],
    pause: Callable[[float], None] = time.sleep,
    call_deadline: float = 10.0,
    no_progress_deadline: float = 300.0,
    beat: float = HEARTBEAT_SECONDS,
) -> Result:
    """Starts the job unless it was started, waits for its end and gives its result.

    `on_progress` is called at each change, and without one at least every `beat` + call_deadline; what it raises
    ends the wait (the job goes on).  Raises JobFailed when the job failed, GuestError when the guest refuses it, HostKeyMismatch,
    and NoProgress when no revision above the highest seen arrives for `no_progress_deadline` seconds.
    """
    start = {"job_id": job_id, "generation": generation, "kind": kind, "spec": spec}
    status = JobStatus()
    highest, patience = 0, Deadline(no_progress_deadline)
    delay, trouble = FIRST_RETRY_SECONDS, ""
    while True:
        on_progress(status)
        try:
            with connect() as client:
                status = _look(client, start, status, call_deadline, beat)
            trouble = f"the job stays at revision {status.revision}"
            answered = status.state != "not_started"
        except GuestUnreachable as failure:
            answered, trouble = False, str(failure)
        except GuestError as refusal:
            if refusal.type not in TRANSIENT:
                raise
            answered, trouble = False, str(refusal)
        if status.state in ("succeeded", "failed"):
            on_progress(status)
            return _outcome(status)
        if status.revision > highest:
            highest, patience = status.revision, Deadline(no_progress_deadline)
        elif patience.passed():
            raise NoProgress(f"{kind} {job_id}: nothing new for {no_progress_deadline:g} s; {trouble}")
        if answered:
            delay = FIRST_RETRY_SECONDS
        else:
            pause(delay)
            delay = min(2 * delay, RETRY_SECONDS)


def _look(client: GuestClient, start: dict[str, Any], last: JobStatus, call_deadline: float, beat: float) -> JobStatus:
    """Starts the job as long as the guest does not know it, else waits for a revision after the last one."""
    if last.state == "not_started":
        return JobStatus.parse(client.call("job.start", start, call_deadline))
    params = {"job_id": start["job_id"], "wait": beat, "after": last.revision}
    return JobStatus.parse(client.call("job.status", params, beat + call_deadline))


def _outcome(status: JobStatus) -> Result:
    if status.state == "failed":
        raise JobFailed(*(status.error or ("Internal", "the job failed without a reason")))
    return status.result or {}
