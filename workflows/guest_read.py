"""Ask a guest something for a waiting request."""

from typing import Any

from temporalio import workflow

from workflows.contracts import GuestQuestion
from workflows.options import guest_call

with workflow.unsafe.imports_passed_through():
    from activities.guest import GuestActivities


@workflow.defn(name="GuestRead")
class GuestRead:
    """Not an operation: takes no lock, leaves no row, ends with its deadline."""

    @workflow.run
    async def run(self, question: GuestQuestion) -> dict[str, Any]:
        return await workflow.execute_activity_method(GuestActivities.ask, question, **guest_call(question.deadline))
