"""Faults injected around every activity, so that neither workflows nor activities need hooks of their own.

A plan is `fault:workflow type:activity id:moment` (several joined by `;`) or `twice:workflow type`.  Faults:
kill   the worker dies by SIGKILL; happens once
fail   a permanent failure; happens at every attempt
hold   the step waits until it is cancelled or the file `release` appears; the file `holding` tells that it does
Moments: before (no effect yet) and after (effect done, answer lost).
"""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor


class Chaos(Interceptor):
    def __init__(self, plan: str, directory: Path) -> None:
        self.faults = [tuple(f.split(":")) for f in plan.split(";") if f]
        self.directory = directory

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next, self)

    async def strike(self, moment: str) -> None:
        info = activity.info()
        here = (info.workflow_type, info.activity_id, moment)
        for number, (fault, *where) in enumerate(self.faults):
            if tuple(where) != here:
                continue
            if fault == "kill" and self._first_time(number):
                os.kill(os.getpid(), signal.SIGKILL)
            elif fault == "fail":
                raise ApplicationError("injected by the test", type="Injected", non_retryable=True)
            elif fault == "hold":
                await self._hold()

    def lose_first_answer(self, answer: Any) -> None:
        """Under `twice`: the first answer of each activity is lost, so that Temporal runs it again; both must be the same."""
        info = activity.info()
        if ("twice", info.workflow_type) not in self.faults:
            return
        first = self.directory / f"answer-{info.activity_id}"
        if not first.exists():
            first.write_text(repr(answer))
            raise ApplicationError("the answer was lost", type="Lost")
        assert first.read_text() == repr(answer), f"{info.activity_type} answers differently the second time"

    def _first_time(self, number: int) -> bool:
        try:
            os.close(os.open(self.directory / f"struck-{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    async def _hold(self) -> None:
        (self.directory / "holding").touch()
        while not (self.directory / "release").exists():
            activity.heartbeat()
            await asyncio.sleep(0.05)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, chaos: Chaos) -> None:
        super().__init__(next)
        self._chaos = chaos

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        await self._chaos.strike("before")
        result = await super().execute_activity(input)
        self._chaos.lose_first_answer(result)
        await self._chaos.strike("after")
        return result
