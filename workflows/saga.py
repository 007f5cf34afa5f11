"""The frame of an operation: claim it, take its steps, unwind them on failure or cancel, record how it ended.

What a crash leaves: Temporal repeats the step that was under way; every step finds its own earlier work by key.
What a bug leaves: the run parks at the line that raised, nothing is undone, and goes on when the code is mended.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, TimeoutError, is_cancelled_exception

from workflows.contracts import Operation, Outcome
from workflows.options import CLOUD, FORWARD, RECORD

with workflow.unsafe.imports_passed_through():
    from activities.records import RecordActivities

A = TypeVar("A")
R = TypeVar("R")
Undo = Callable[[Any, A], None] | None

PHASE = SearchAttributeKey.for_keyword("CofferPhase")


@dataclass(frozen=True)
class _Undo:
    step_id: str
    do: Callable[[Any, Any], None]
    arg: Any


class Saga:
    """Steps taken so far, each with the activity that takes it back."""

    def __init__(self, op: Operation) -> None:
        self.op = op
        self._steps = 0
        self._undos: list[_Undo] = []
        self._forward_only = False

    @overload
    async def step(
        self,
        do: Callable[[Any, A], Awaitable[R]],
        arg: A,
        *,
        undo: Undo[A] = ...,
        options: dict[str, Any] = ...,
        summary: str = ...,
    ) -> R: ...

    @overload
    async def step(
        self, do: Callable[[Any, A], R], arg: A, *, undo: Undo[A] = ..., options: dict[str, Any] = ..., summary: str = ...
    ) -> R: ...

    async def step(
        self,
        do: Callable[[Any, A], Any],
        arg: A,
        *,
        undo: Undo[A] = None,
        options: dict[str, Any] = CLOUD,
        summary: str = "",
    ) -> Any:
        """Run `do(arg)`.  `undo(arg)` is registered first, with the same argument, so it also covers a half-done step."""
        self._steps += 1
        step_id = str(self._steps)
        if undo:
            self._undos.append(_Undo(f"undo-{step_id}", undo, arg))
        workflow.set_current_details(f"step {step_id}: {summary or _name(do)}")
        run = workflow.execute_activity_method(do, arg, activity_id=step_id, summary=summary or None, **options)
        if self._forward_only:
            return await to_its_end(run)
        result = await run
        # An activity that ends well swallows the cancel that came while it was awaited.
        self.stop_if_cancelled()
        return result

    async def together(self, *steps: Awaitable[Any]) -> None:
        """Take steps that do not need each other at the same time.

        The first that fails has the others broken off.  All have ended when this raises: an unwinding meets a settled world.
        """
        tasks = [asyncio.ensure_future(step) for step in steps]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def point_of_no_return(self) -> None:
        """From here the operation only goes forward: a cancel is not heard any more."""
        self.stop_if_cancelled()
        self._forward_only = True
        self._undos.clear()

    def stop_if_cancelled(self) -> None:
        if not self._forward_only and workflow.cancellation_reason() is not None:
            raise asyncio.CancelledError

    async def unwind(self) -> None:
        """Take back every step, newest first; each retries until it succeeds.  One that fails for good does not keep the others."""
        failed: BaseException | None = None
        workflow.upsert_search_attributes([PHASE.value_set("unwinding")])
        while self._undos:
            undo = self._undos.pop()
            workflow.set_current_details(f"{undo.step_id}: {_name(undo.do)}")
            run = workflow.execute_activity_method(undo.do, undo.arg, activity_id=undo.step_id, **FORWARD)
            try:
                await to_its_end(run)
            except ActivityError as e:
                failed = e
        if failed:
            raise failed


@asynccontextmanager
async def saga(op: Operation) -> AsyncIterator[Saga]:
    """Every operation runs inside this frame."""
    if not await recorded(RecordActivities.claim_operation, op, "claim"):
        raise ApplicationError(f"operation {op.id} has ended or was never recorded", type="NotClaimed", non_retryable=True)
    s = Saga(op)
    try:
        s.stop_if_cancelled()
        yield s
    except BaseException as e:
        cancelled = is_cancelled_exception(e)
        if not (cancelled or workflow.is_failure_exception(e)):
            raise
        outcome = _outcome(op, e, cancelled)
        try:
            await s.unwind()
        except ActivityError as left:
            outcome = _outcome(op, left, cancelled=False)
        await recorded(RecordActivities.finish_operation, outcome, "finish")
        raise
    await recorded(RecordActivities.finish_operation, Outcome(op, ok=True), "finish")


async def recorded(do: Callable[[Any, A], R], arg: A, activity_id: str) -> R:
    """Run an SQL step to its end: a row half told about is worse than a late cancel."""
    return await to_its_end(workflow.execute_activity_method(do, arg, activity_id=activity_id, **RECORD))


async def to_its_end(run: Awaitable[R]) -> R:
    """Await through a cancel: it is a state of the run and can be asked for afterwards."""
    task = asyncio.ensure_future(run)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        return await task


def _name(do: Callable[..., Any]) -> str:
    """The activity's wire name, which is what operators see everywhere else."""
    return str(getattr(do, "__temporal_activity_definition").name)


def _outcome(op: Operation, e: BaseException, cancelled: bool) -> Outcome:
    if cancelled:
        return Outcome(op, ok=False, cancelled=True, error_type="Cancelled", error_message="The operation was cancelled.")
    cause = e.cause if isinstance(e, ActivityError) and e.cause else e
    if isinstance(cause, TimeoutError):
        return Outcome(op, ok=False, error_type="Timeout", error_message=f"{_step(e)} did not end in time.")
    kind = cause.type if isinstance(cause, ApplicationError) and cause.type else type(cause).__name__
    message = cause.message if isinstance(cause, FailureError) else str(cause)
    return Outcome(op, ok=False, error_type=kind, error_message=message)


def _step(e: BaseException) -> str:
    return e.activity_type if isinstance(e, ActivityError) else "The operation"
