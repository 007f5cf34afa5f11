"""Delete an instance, whatever it is doing."""

from temporalio import workflow

from workflows.contracts import Job
from workflows.guest_jobs import TELEMETRY
from workflows.options import FORWARD
from workflows.saga import saga

with workflow.unsafe.imports_passed_through():
    from activities.cinder import CinderActivities as Cinder
    from activities.designate import DesignateActivities as Designate
    from activities.messages import MessageActivities as Messages
    from activities.neutron import NeutronActivities as Neutron
    from activities.nova import NovaActivities as Nova
    from activities.objects import ObjectActivities as Objects
    from activities.operations import OperationActivities as Operations

OBJECTS = "objects"
"""Patch: runs begun before it leave objects alone."""


@workflow.defn(name="InstanceDelete")
class InstanceDelete:
    """Only goes forward: whatever carries the instance's tag is removed, whoever made it.  The guest is not asked, it may be dead."""

    @workflow.run
    async def run(self, job: Job) -> None:
        op = job.op
        async with saga(op) as s:
            s.point_of_no_return()
            await s.step(Operations.settle_holder, op, options=FORWARD, summary="stop what is running")
            await s.step(Nova.delete_servers_of, op, options=FORWARD)
            await s.step(Cinder.delete_volumes_of, op, options=FORWARD)
            if job.named:  # before the addresses become free for others
                await s.step(Designate.delete_records_of, op, options=FORWARD)
            await s.step(Neutron.delete_ports_of, op, options=FORWARD)
            if workflow.patched(TELEMETRY):
                await s.step(Messages.delete_queue, op, options=FORWARD)
            if workflow.patched(OBJECTS):
                await s.step(Objects.delete_objects_of, op, options=FORWARD)
