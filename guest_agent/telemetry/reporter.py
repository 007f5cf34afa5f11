"""When to report, and what."""

import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guest_agent.jobs import Jobs
from guest_agent.journal import JobRecord
from guest_agent.telemetry.engine import EngineView, EngineWatch
from guest_agent.telemetry.outbox import LONGEST_JITTER, Outbox, jittered

FORMAT = 1
PROGRESS_SECONDS = 0.5
"""What a job does between its beginning and its end is not told more often."""
QUERY_SECONDS = 1.0
"""A job's end waits so long for what the engine says afterwards: one report then tells both."""
MOST_JOBS = 32


class Wake:
    """Ends the reporter's wait, from any thread."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __call__(self) -> None:
        os.eventfd_write(self._fd, 1)

    def wait(self, other_fd: int | None, timeout: float | None) -> None:
        """Until called, `other_fd` can be read, or the time is over."""
        poller = select.poll()
        for fd in (self._fd, other_fd):
            if fd is not None:
                poller.register(fd, select.POLLIN)
        ready = poller.poll(None if timeout is None else max(0.0, timeout) * 1000)
        if any(fd == self._fd for fd, _ in ready):
            os.eventfd_read(self._fd)


@dataclass(frozen=True)
class View:
    """What reports are made for: when it changes there is something to tell."""

    engine: EngineView
    root_enabled: bool | None
    jobs: tuple[JobRecord, ...]

    def states(self) -> set[tuple[str, str]]:
        return {(job.job_id, job.state) for job in self.jobs}

    def revisions(self) -> set[tuple[str, int]]:
        return {(job.job_id, job.revision) for job in self.jobs}


class Reporter:
    """Belongs to one thread, which calls `report_next` again and again; it waits there and for nothing else."""

    def __init__(
        self,
        about: dict[str, Any],
        epoch: Callable[[], int],
        data_dir: Path,
        jobs: Jobs,
        engine: EngineWatch,
        outbox: Outbox,
        wake: Wake,
    ) -> None:
        self._about = about
        self._epoch, self._told_epoch = epoch, 0
        self._data_dir = data_dir
        self._jobs, self._engine, self._outbox, self._wake = jobs, engine, outbox, wake
        self._number = 0
        self._told: View | None = None
        self._beat_at = 0.0
        self._beat_owed = False
        self._told_at = 0.0
        self._ended: set[str] = set()
        self._job_ended_at = 0.0
        self._put_off_until: float | None = None

    def report_next(self) -> None:
        now = time.monotonic()
        # The period may have become another one meanwhile.
        self._beat_at = min(self._beat_at, now + LONGEST_JITTER * self._outbox.period)
        if now >= self._beat_at:
            self._beat_owed = True
            self._beat_at = now + jittered(self._outbox.period)
            self._engine.ask()
        self._engine.look()
        view = View(self._engine.view, self._engine.root_enabled, tuple(self._jobs.overview()[:MOST_JOBS]))
        reason = self._reason(view, time.monotonic())
        if reason:
            self._tell(view, reason)
        process = self._engine.process
        self._wake.wait(process.fd if process else None, self._next_due() - time.monotonic())

    def _reason(self, view: View, now: float) -> str | None:
        """Why to report now, if there is a reason."""
        self._put_off_until = None
        told = self._told
        if view.engine.state is None:
            return None
        if told is None or self._told_epoch != self._epoch():
            return "start"
        news_of_jobs = view.states() - told.states()
        if news_of_jobs and not self._knows_what_jobs_did(view, told, now):
            return None
        if view.engine != told.engine:
            return "engine"
        if view.root_enabled != told.root_enabled:
            return "root"
        if news_of_jobs:
            return "job"
        if view.revisions() - told.revisions():
            if now >= self._told_at + PROGRESS_SECONDS:
                return "job"
            self._put_off_until = self._told_at + PROGRESS_SECONDS
        return "heartbeat" if self._beat_owed and not self._engine.undecided else None

    def _knows_what_jobs_did(self, view: View, told: View, now: float) -> bool:
        """A job that has ended may have enabled root, or started the engine."""
        ended = {job.job_id for job in view.jobs if job.ended and (job.job_id, job.state) not in told.states()}
        if not ended:
            return True
        if ended - self._ended:
            self._ended, self._job_ended_at = ended, now
            self._engine.ask()
        if self._engine.knows_since(self._job_ended_at) or now >= self._job_ended_at + QUERY_SECONDS:
            return True
        looked = self._engine.looked_since(self._job_ended_at)
        self._put_off_until = self._job_ended_at + QUERY_SECONDS if looked else now
        return False

    def _tell(self, view: View, reason: str) -> None:
        self._number += 1
        self._told_epoch = self._epoch()
        self._outbox.put(self._report(view, reason))
        if reason in ("start", "heartbeat"):
            self._beat_owed = False
        self._told, self._told_at, self._ended = view, time.monotonic(), set()

    def _report(self, view: View, reason: str) -> dict[str, Any]:
        return {
            "v": FORMAT,
            **self._about,
            "epoch": self._told_epoch,
            "number": self._number,
            "reason": reason,
            "generation": self._jobs.generation,
            "engine": view.engine.as_json(),
            "volume": _volume(self._data_dir),
            "load": [round(load, 2) for load in os.getloadavg()],
            "root_enabled": view.root_enabled,
            "jobs": [_job(job) for job in view.jobs],
        }

    def _next_due(self) -> float:
        return min(due for due in (self._beat_at, self._engine.due, self._put_off_until) if due is not None)


def _job(job: JobRecord) -> dict[str, Any]:
    """Neither result nor error: those are for who asks over the command channel."""
    told = {name: value for name, value in job.status().items() if name in ("state", "revision", "progress")}
    return {"job_id": job.job_id, "kind": job.kind, **told}


def _volume(directory: Path) -> dict[str, int] | None:
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return {"total": found.f_blocks * found.f_frsize, "used": (found.f_blocks - found.f_bfree) * found.f_frsize}
