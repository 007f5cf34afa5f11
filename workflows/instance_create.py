"""Create one database instance: keys, port, volume, server, engine."""

from temporalio import workflow

from workflows.contracts import CreateInstance, GuestJob, Want
from workflows.guest_jobs import TELEMETRY, HearsGuest
from workflows.options import GUEST_JOB, RECORD
from workflows.saga import saga

with workflow.unsafe.imports_passed_through():
    from activities.cinder import CinderActivities as Cinder
    from activities.guest import GuestActivities as Guest
    from activities.messages import MessageActivities as Messages
    from activities.neutron import NeutronActivities as Neutron
    from activities.nova import NovaActivities as Nova
    from activities.records import RecordActivities as Records


@workflow.defn(name="InstanceCreate")
class InstanceCreate(HearsGuest):
    """All or nothing: on failure or cancel every resource made so far is removed and the instance is ERROR with the reason."""

    @workflow.run
    async def run(self, job: CreateInstance) -> None:
        op = job.op
        port = Want(op, f"coffer-{op.id}-port")
        volume = Want(op, f"coffer-{op.id}-volume", size_gb=job.volume_gb, volume_type=job.volume_type)
        server = Want(
            op,
            f"coffer-{op.id}-server",
            name=job.name,
            flavor_id=job.flavor_id,
            datastore_version_id=job.datastore_version_id,
            port_key=port.key,
            volume_key=volume.key,
        )

        async with saga(op) as s:
            telemetry = workflow.patched(TELEMETRY)
            parts = [
                s.step(Guest.create_keys, op, undo=Guest.delete_keys, options=RECORD),
                s.step(Neutron.create_port, port, undo=Neutron.delete_port),
                s.step(Cinder.create_volume, volume, undo=Cinder.delete_volume, summary=f"{job.volume_gb} GiB"),
            ]
            if telemetry:
                parts.append(s.step(Messages.create_queue, op, undo=Messages.delete_queue, options=RECORD))
            await s.together(*parts)
            made = await s.step(Nova.create_server, server, undo=Nova.delete_server, summary=job.flavor_id)
            prepare = GuestJob(op, f"{op.id}-prepare", "prepare", job.prepare_ref, made.address, made.ssh_port)
            await s.together(
                s.step(Records.set_server, made, options=RECORD),
                self.see_through(s, prepare, "prepare the engine")
                if telemetry
                else s.step(Guest.run_job, prepare, options=GUEST_JOB, summary="prepare the engine"),
            )
