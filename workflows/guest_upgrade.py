"""Replace the agent of an instance's server by the control plane's own."""

from temporalio import workflow

from workflows.contracts import GuestJob, Job
from workflows.options import GUEST_JOB
from workflows.saga import saga

with workflow.unsafe.imports_passed_through():
    from activities.guest import GuestActivities as Guest


@workflow.defn(name="GuestUpgrade")
class GuestUpgrade:
    """Once the guest has been told, it goes through with it or takes it back by itself; the database stays up."""

    @workflow.run
    async def run(self, job: Job) -> None:
        async with saga(job.op) as s:
            s.point_of_no_return()
            await s.step(Guest.upgrade_agent, GuestJob(job.op, f"{job.op.id}-upgrade", "upgrade_agent"), options=GUEST_JOB)
