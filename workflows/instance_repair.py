"""Give an instance back what was taken from it behind our back: its volume, its power."""

from temporalio import workflow

from workflows.contracts import GuestJob, RepairInstance, Want
from workflows.options import GUEST_JOB
from workflows.saga import saga

with workflow.unsafe.imports_passed_through():
    from activities.guest import GuestActivities as Guest
    from activities.nova import NovaActivities as Nova


@workflow.defn(name="InstanceRepair")
class InstanceRepair:
    """There is nothing to take back: what it sets is what should have been so all along."""

    @workflow.run
    async def run(self, job: RepairInstance) -> None:
        op = job.op
        server = Want(op, job.server_key, volume_key=job.volume_key)
        async with saga(op) as s:
            s.point_of_no_return()
            await s.step(Nova.attach_volume, server)
            await s.step(Nova.start_server, server)
            restart = GuestJob(op, f"{op.id}-restart", "restart")
            await s.step(Guest.run_job, restart, options=GUEST_JOB, summary="see the engine answer")
