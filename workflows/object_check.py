"""Whether an instance's server reaches the object store, both ways: what it sends is committed, read back there, and removed."""

from temporalio import workflow

from workflows.contracts import CHECKS, Job, ObjectTransfer
from workflows.options import FORWARD, GUEST_JOB
from workflows.saga import saga

with workflow.unsafe.imports_passed_through():
    from activities.objects import ObjectActivities as Objects


@workflow.defn(name="GuestObjectCheck")
class GuestObjectCheck:
    """The instance stays as it is.  A cancel is not heard: what the guest is granted already it would go on to send."""

    @workflow.run
    async def run(self, job: Job) -> None:
        op = job.op
        path = f"{CHECKS}{op.id}"
        async with saga(op) as s:
            s.point_of_no_return()
            upload = ObjectTransfer(op, f"{op.id}-upload", path)
            stored = await s.step(Objects.upload, upload, undo=Objects.remove, options=GUEST_JOB)
            download = ObjectTransfer(op, f"{op.id}-download", path, stored.size, stored.sha256)
            await s.step(Objects.download, download, options=GUEST_JOB)
            await s.step(Objects.remove, upload, options=FORWARD)
