"""Work that no request asks for: standing duties, which one worker has at a time for ever, and rounds, which a schedule begins.

What a duty does is in its activity, named by the duty; the workflows here only see that somebody is at it.
What a crash leaves: the activity's heartbeats stop, and another worker takes the next shift within seconds.
"""

from temporalio import workflow

from workflows.contracts import Duty
from workflows.options import ROUND, SHIFT

SHIFTS = 200
"""Of one run, before a new one takes over with an empty history."""


@workflow.defn(name="StandingDuty")
class StandingDuty:
    """Shift after shift of one activity, which tells whether there is to be another one."""

    @workflow.run
    async def run(self, duty: Duty) -> None:
        workflow.set_current_details(f"{duty.activity} {duty.subject}")
        for _ in range(SHIFTS):
            if not await workflow.execute_activity(duty.activity, duty, result_type=bool, **SHIFT):
                return
        workflow.continue_as_new(duty)


@workflow.defn(name="DutyRound")
class DutyRound:
    """One round of an activity that a schedule asks for from time to time."""

    @workflow.run
    async def run(self, duty: Duty) -> None:
        await workflow.execute_activity(duty.activity, duty, **ROUND)
