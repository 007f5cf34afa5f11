"""Writes down each step of an operation as it runs, around the activities and unknown to them: what `GET operations/{id}` shows."""

import asyncio
from collections.abc import Callable
from typing import Any

from sqlalchemy import update
from temporalio import activity
from temporalio.exceptions import ApplicationError, is_cancelled_exception
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from models import Database, OperationStep, StepState
from models.base import utcnow
from workflows.contracts import Operation

Values = dict[str, Any]


class StepLog(Interceptor):
    def __init__(self, database: Database) -> None:
        self._database = database

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(next, self)

    def progress(self, words: str) -> None:
        """What the step of the calling thread is at."""
        info = activity.info()
        operation_id = _running.get(info.task_token)
        if operation_id:
            self.write(operation_id, info.activity_id, {"progress": words[:255]})

    def begin(self, operation_id: str) -> None:
        info = activity.info()
        with self._database.write() as s:
            step = s.get(OperationStep, (operation_id, info.activity_id))
            if step is None:
                s.add(
                    OperationStep(operation_id=operation_id, id=info.activity_id, name=info.activity_type, attempts=info.attempt)
                )
            else:
                step.state, step.attempts, step.error = StepState.RUNNING, max(step.attempts + 1, info.attempt), ""

    def write(self, operation_id: str, step_id: str, values: Values) -> None:
        with self._database.write() as s:
            mine = update(OperationStep).where(OperationStep.operation_id == operation_id, OperationStep.id == step_id)
            s.execute(mine.values(**values))


_running: dict[bytes, str] = {}
"""Operation of each activity now running in this process, by task token."""


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, steps: StepLog) -> None:
        super().__init__(next)
        self._steps = steps

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        op = _operation(input.args)
        if op is None:
            return await super().execute_activity(input)
        info = activity.info()
        await _in_thread(self._steps.begin, op.id)
        _running[info.task_token] = op.id
        try:
            result = await super().execute_activity(input)
        except BaseException as e:
            await _in_thread(self._steps.write, op.id, info.activity_id, _troubled(e))
            raise
        finally:
            _running.pop(info.task_token, None)
        await _in_thread(
            self._steps.write, op.id, info.activity_id, {"state": StepState.DONE, "finished_at": utcnow(), "error": ""}
        )
        return result


def _operation(args: Any) -> Operation | None:
    """By convention a step's one argument is the operation or carries it as `op`."""
    if not args:
        return None
    found = args[0] if isinstance(args[0], Operation) else getattr(args[0], "op", None)
    return found if isinstance(found, Operation) else None


def _troubled(e: BaseException) -> Values:
    if is_cancelled_exception(e):
        return {"state": StepState.CANCELLED, "error": "", "finished_at": utcnow()}
    final = isinstance(e, ApplicationError) and e.non_retryable
    words = f"{e.type}: {e.message}" if isinstance(e, ApplicationError) else f"{type(e).__name__}: {e}"
    values: Values = {"state": StepState.FAILED if final else StepState.WAITING, "error": words[:2000]}
    return values | ({"finished_at": utcnow()} if final else {})


async def _in_thread(do: Callable[..., None], *args: Any) -> None:
    """Off the worker's loop, with the activity's context, to its end even if the activity is cancelled."""
    await asyncio.shield(asyncio.to_thread(do, *args))
