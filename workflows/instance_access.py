"""Change who reaches an instance on its tenant's network."""

from temporalio import workflow

from workflows.contracts import ChangeAccess, WantName, reached_at
from workflows.options import FORWARD, RECORD
from workflows.saga import saga

with workflow.unsafe.imports_passed_through():
    from activities.designate import DesignateActivities as Designate
    from activities.neutron import NeutronActivities as Neutron
    from activities.records import RecordActivities as Records


@workflow.defn(name="InstanceAccess")
class InstanceAccess:
    """The engine is not touched.  The cloud takes the whole change or none of it; once it has been told, the change runs to its end."""

    @workflow.run
    async def run(self, job: ChangeAccess) -> None:
        async with saga(job.op) as s:
            s.point_of_no_return()
            addresses = await s.step(Neutron.set_access, job)
            if job.hostname and addresses.shown:
                name = WantName(job.op, job.name_key, job.hostname, reached_at(addresses.shown))
                await s.step(Designate.set_record, name, options=FORWARD, summary=name.address)
            await s.step(Records.set_addresses, addresses, options=RECORD)
