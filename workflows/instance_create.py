"""Create one database instance: keys, ports, volumes, server, engine, name."""

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

from temporalio import workflow

from workflows.contracts import (
    NAME,
    ROOT_VOLUME,
    SERVER,
    USER_PORT,
    CreateInstance,
    GuestJob,
    ServerFacts,
    UserNetwork,
    Want,
    WantName,
    WantServerGroup,
    WantUserPort,
    reached_at,
)
from workflows.guest_jobs import TELEMETRY, HearsGuest
from workflows.options import GUEST_JOB, RECORD
from workflows.saga import Saga, saga

with workflow.unsafe.imports_passed_through():
    from activities.cinder import CinderActivities as Cinder
    from activities.designate import DesignateActivities as Designate
    from activities.guest import GuestActivities as Guest
    from activities.messages import MessageActivities as Messages
    from activities.neutron import NeutronActivities as Neutron
    from activities.nova import NovaActivities as Nova
    from activities.records import RecordActivities as Records

Addresses = list[dict[str, Any]]
ONE_VOLUME = "one-volume"
"""Patch: runs begun before it do not look for a second volume."""


@workflow.defn(name="InstanceCreate")
class InstanceCreate(HearsGuest):
    """All or nothing: on failure or cancel every resource made so far is removed and the instance is ERROR with the reason.

    What only some instances have is made where the input asks for it.  Inputs of earlier releases ask for none of it, so that their runs
    replay; a step that all were to have would need `workflow.patched`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._addresses: Addresses = []

    @workflow.run
    async def run(self, job: CreateInstance) -> None:
        op = job.op
        port = Want(op, f"coffer-{op.id}-port")
        volume = Want(
            op,
            f"coffer-{op.id}-volume",
            size_gb=job.volume_gb,
            volume_type=job.volume_type,
            availability_zone=job.availability_zone,
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
            await s.together(*parts, *self._more_parts(s, job))
            made = await self._server(s, job, port, volume)
            prepare = GuestJob(op, f"{op.id}-prepare", "prepare", job.prepare_ref, made.address, made.ssh_port)
            facts = replace(made, addresses=self._addresses, hostname=job.hostname)
            volumes = [volume, *([_root_volume(job)] if job.root_gb else [])] if workflow.patched(ONE_VOLUME) else []
            await s.together(
                s.step(Records.set_server, facts, options=RECORD),
                self.see_through(s, prepare, "prepare the engine")
                if telemetry
                else s.step(Guest.run_job, prepare, options=GUEST_JOB, summary="prepare the engine"),
                *self._name(s, job, made.address),
                *(s.step(Cinder.keep_one_volume, one) for one in volumes),
            )

    def _more_parts(self, s: Saga, job: CreateInstance) -> list[Awaitable[Any]]:
        """Those that this instance is asked to have."""
        parts: list[Awaitable[Any]] = []
        if job.network:
            parts.append(self._open(s, _user_port(job, job.network)))
        if job.root_gb:
            summary = f"root disk, {job.root_gb} GiB"
            parts.append(s.step(Cinder.create_volume, _root_volume(job), undo=Cinder.delete_volume, summary=summary))
        if job.locality:
            group = WantServerGroup(job.op, _group_key(job), job.locality)
            parts.append(s.step(Nova.create_server_group, group, undo=Nova.delete_server_group, summary=job.locality))
        return parts

    async def _open(self, s: Saga, want: WantUserPort) -> None:
        """The tenant's way to the database: what guards the port comes before it, what leads to it after."""
        await s.step(Neutron.create_security_group, want, undo=Neutron.delete_security_group)
        address = await s.step(Neutron.create_user_port, want, undo=Neutron.delete_user_port)
        self._addresses = [{"address": address, "type": "private", "network": want.network.network_id}]
        if want.network.is_public:
            public = await s.step(Neutron.create_floating_ip, want, undo=Neutron.delete_floating_ip)
            self._addresses.append({"address": public, "type": "public"})

    def _name(self, s: Saga, job: CreateInstance, management_address: str) -> list[Awaitable[Any]]:
        """What leads to the address that the tenant is shown, if it is to have a name."""
        if not job.zone:
            return []
        address = reached_at(self._addresses) or management_address
        name = WantName(job.op, f"coffer-{job.op.id}{NAME}", job.hostname, address)
        return [s.step(Designate.set_record, name, undo=Designate.delete_record, summary=address)]

    async def _server(self, s: Saga, job: CreateInstance, port: Want, volume: Want) -> ServerFacts:
        server = Want(
            job.op,
            f"coffer-{job.op.id}{SERVER}",
            name=job.name,
            flavor_id=job.flavor_id,
            datastore_version_id=job.datastore_version_id,
            port_key=port.key,
            volume_key=volume.key,
            availability_zone=job.availability_zone,
            user_port_key=_user_port(job, job.network).key if job.network else "",
            root_volume_key=_root_volume(job).key if job.root_gb else "",
            group_key=_group_key(job) if job.locality else "",
        )
        return await s.step(Nova.create_server, server, undo=Nova.delete_server, summary=job.flavor_id)


def _user_port(job: CreateInstance, network: UserNetwork) -> WantUserPort:
    return WantUserPort(job.op, f"coffer-{job.op.id}{USER_PORT}", f"coffer-{job.op.id}-access", network)


def _root_volume(job: CreateInstance) -> Want:
    return Want(
        job.op,
        f"coffer-{job.op.id}{ROOT_VOLUME}",
        size_gb=job.root_gb,
        datastore_version_id=job.datastore_version_id,
        availability_zone=job.availability_zone,
    )


def _group_key(job: CreateInstance) -> str:
    return f"coffer-{job.op.id}-group"
