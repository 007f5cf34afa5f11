"""Long jobs in a guest: whoever waits for one is told of its end by the guest, and keeps no worker busy meanwhile.

A step first stays with the job for some seconds (`[guest] job_window`), since its guest holds back the answer until the job has ended: nothing is
faster than that, and most jobs end within it.  What takes longer is left alone until the guest reports the end, which the drain passes on as
the signal `job_ended`; what the signal says is then confirmed at the guest.  The fallback for a guest that does not report, or whose job stands
still, is to stay with it to the end.
"""

import asyncio
from contextlib import suppress

from temporalio import workflow

from workflows.contracts import GuestJob
from workflows.options import GUEST_JOB, TOLD
from workflows.saga import Saga

with workflow.unsafe.imports_passed_through():
    from activities.guest import GuestActivities as Guest

TELEMETRY = "telemetry"
"""Patch: runs begun before it have no queue and hear no guest."""


class HearsGuest:
    """Base of workflows that wait for jobs this way; their kind says `hears_guests`."""

    def __init__(self) -> None:
        self._ended: set[str] = set()

    @workflow.signal
    def job_ended(self, job_id: str) -> None:
        """From the drain."""
        self._ended.add(job_id)

    async def see_through(self, s: Saga, job: GuestJob, summary: str) -> None:
        """The job, to its end.  Raises what a step raises."""
        look = await s.step(Guest.start_job, job, options=GUEST_JOB, summary=summary)
        while not look.ended and look.reports:
            await self._told(s, job)
            before, look = look, await s.step(Guest.start_job, job, options=GUEST_JOB, summary=summary)
            if look.revision == before.revision:
                break
        if not look.ended:
            await s.step(Guest.run_job, job, options=GUEST_JOB, summary=summary)

    async def _told(self, s: Saga, job: GuestJob) -> None:
        workflow.set_current_details(f"{job.kind} goes on in the guest, which will report its end")
        with suppress(asyncio.TimeoutError):
            await workflow.wait_condition(lambda: job.job_id in self._ended, timeout=TOLD)
        s.stop_if_cancelled()
