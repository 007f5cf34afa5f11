"""One change inside the guest: databases, users, grants, root."""

from temporalio import workflow

from workflows.contracts import GuestChange, GuestJob
from workflows.options import GUEST_JOB
from workflows.saga import saga

with workflow.unsafe.imports_passed_through():
    from activities.guest import GuestActivities as Guest


@workflow.defn(name="GuestWrite")
class GuestWrite:
    """The guest does it whole or not at all; there is nothing to take back."""

    @workflow.run
    async def run(self, change: GuestChange) -> None:
        op = change.op
        async with saga(op) as s:
            s.point_of_no_return()
            job = GuestJob(op, f"{op.id}-{change.kind}", change.kind, spec_ref=change.spec_ref)
            await s.step(Guest.run_job, job, options=GUEST_JOB, summary=change.kind)
