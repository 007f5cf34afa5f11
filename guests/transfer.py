"""Runs a job in a guest that sends to, or reads from, the object store, and grants it URLs as it goes on.

URLs are made when they are needed and go over the channel only.  The guest keeps them in memory: one that starts anew has none, says so, and is
granted some again.  So a job's spec has no secret in it, and may be repeated as any other.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from guests.client import GuestClient, Result
from guests.errors import GuestUnreachable
from guests.jobs import JobStatus, run_job
from guests.transport import Deadline

WINDOW = 32
"""Segments that a guest has URLs for at most; it is granted more when half of them are used."""
MOST_SEGMENTS = 1000

Connect = Callable[[], AbstractContextManager[GuestClient]]


@dataclass(frozen=True)
class Granted:
    """What a transfer may do.  `segments`: PUT URLs by the number of the first and how many; `download`: the GET URL.

    `lifetime`: seconds that a URL is valid; halfway others take its place.
    """

    lifetime: float
    segments: Callable[[int, int], list[str]] | None = None
    download: Callable[[], str] | None = None


def run_transfer(
    connect: Connect,
    job_id: str,
    generation: int,
    kind: str,
    spec: dict[str, Any],
    granted: Granted,
    *,
    on_progress: Callable[[JobStatus], None],
    call_deadline: float = 10.0,
    **patience: Any,
) -> Result:
    """As guests.jobs.run_job, whose `patience` it takes too.  The job's id is the transfer's."""
    grants = _Grants(connect, job_id, granted, call_deadline)

    def progress(status: JobStatus) -> None:
        on_progress(status)
        if status.state == "in_progress":
            grants.see_to()

    spec = {**spec, "transfer": job_id}
    return run_job(connect, job_id, generation, kind, spec, on_progress=progress, call_deadline=call_deadline, **patience)


class _Grants:
    def __init__(self, connect: Connect, transfer: str, granted: Granted, call_deadline: float) -> None:
        self._connect, self._transfer, self._granted = connect, transfer, granted
        self._call_deadline = call_deadline
        self._fresh = Deadline(0)

    def see_to(self) -> None:
        """That the guest has what it needs for a while.  One that does not answer is left to the job's own patience."""
        try:
            with self._connect() as client:
                held = self._call(client, {})
                if wanted := self._wanted(held):
                    self._call(client, wanted)
                    self._fresh = Deadline(self._granted.lifetime / 2)
        except GuestUnreachable:
            return

    def _wanted(self, held: Result) -> dict[str, Any]:
        stale, wanted = self._fresh.passed(), dict[str, Any]()
        sent, reach = int(held["sent"]), int(held["granted"])
        count = min(WINDOW, MOST_SEGMENTS - sent)
        if self._granted.segments and count > 0 and (stale or reach - sent < min(WINDOW // 2, count)):
            wanted |= {"first": sent + 1, "urls": self._granted.segments(sent + 1, count)}
        if self._granted.download and (stale or not held["download"]):
            wanted["download"] = self._granted.download()
        return wanted

    def _call(self, client: GuestClient, params: dict[str, Any]) -> Result:
        return client.call("transfer.grant", {"transfer": self._transfer, **params}, self._call_deadline)
