"""Restart the engine of an instance."""

from temporalio import workflow

from workflows.contracts import GuestJob, Job
from workflows.options import GUEST_JOB
from workflows.saga import saga

with workflow.unsafe.imports_passed_through():
    from activities.guest import GuestActivities as Guest


@workflow.defn(name="InstanceRestart")
class InstanceRestart:
    """Once the guest has been told, the restart runs to its end."""

    @workflow.run
    async def run(self, job: Job) -> None:
        async with saga(job.op) as s:
            s.point_of_no_return()
            await s.step(Guest.run_job, GuestJob(job.op, f"{job.op.id}-restart", "restart"), options=GUEST_JOB)
