"""Operations as the API sees them: record in the request's transaction, start after commit, repair by the dispatcher.

Background.  A request must be answered even when Temporal is away, and an accepted one must run exactly once.

How it works.  `record` writes the operation's row in the transaction that also takes the lock and the quota.  `start` begins the workflow after
commit, without waiting for it.  `dispatch`, run by every worker, starts what is still PENDING.  Two starts are harmless: the workflow id is the
resource's lock, and the first step claims the row.

What if we crash here.  Before commit: nothing happened.  After commit: the row is PENDING and the dispatcher starts it.  After the start, before the
row says so: the dispatcher meets the running workflow, sees its own operation id in the memo, and notes it.
"""

import asyncio
import dataclasses
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from temporalio.api.workflowservice.v1 import ResetActivityRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from api.temporal_bridge import TemporalBridge
from models import Database, Datastore, DatastoreVersion, Instance, OperationRow, OperationState
from models.base import new_id, rows_changed, utcnow
from models.event_types import ACCEPTED
from models.outbox import Event, record
from workflows.contracts import GuestQuestion, Operation
from workflows.kinds import KINDS

R = TypeVar("R")

log = structlog.get_logger(__name__)

AWAY = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED)
SEARCH_ATTRIBUTES = ("CofferResource", "CofferProject", "CofferOperation", "CofferDatastore", "CofferPhase", "CofferRequestId")


class HasOperation(Protocol):
    @property
    def op(self) -> Operation: ...


@dataclass(frozen=True)
class Caller:
    """Who asks, for the audit."""

    project_id: str
    user_id: str
    request_id: str


class OperationFailed(Exception):
    """It ran and ended badly: `type` is one of the fixed error types, the message is for the tenant."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.type = error_type


class StillRunning(Exception):
    """No end within the time the caller wanted to wait; the operation goes on."""


class GuestSilent(Exception):
    """A read had no answer within its deadline (guest, worker or Temporal away)."""


class NotAllowed(Exception):
    """The operation is in no state for that; the message says why."""


class Operations:
    def __init__(self, database: Database, temporal: TemporalBridge, rpc_timeout: float = 2.0) -> None:
        self._database, self._temporal = database, temporal
        self._rpc_timeout = timedelta(seconds=rpc_timeout)

    # -- recording and starting

    @classmethod
    def record(cls, s: Session, kind: str, job: HasOperation, caller: Caller, retry_of: str | None = None) -> OperationRow:
        """Add the row to the caller's transaction; `job` is the workflow's input."""
        return cls.record_input(s, kind, job.op, dataclasses.asdict(job), caller, retry_of)  # type: ignore[call-overload]

    @staticmethod
    def record_input(
        s: Session, kind: str, op: Operation, payload: Mapping[str, Any], caller: Caller, retry_of: str | None = None
    ) -> OperationRow:
        """As `record`, for an input that is JSON already."""
        row = OperationRow(
            id=op.id,
            kind=kind,
            workflow_id=KINDS[kind].workflow_id.format(op.instance_id),
            instance_id=op.instance_id,
            project_id=op.project_id,
            user_id=caller.user_id,
            request_id=caller.request_id,
            input={**payload, "op": dataclasses.asdict(op)},
            retry_of=retry_of,
        )
        s.add(row)
        record(s, s.get_one(Instance, op.instance_id), [Event(ACCEPTED)], row)
        return row

    def start(self, row: OperationRow) -> None:
        """After commit: begin the workflow, without waiting for Temporal."""
        self._temporal.submit(self._start(row)).add_done_callback(lambda f: _told(row.id, f.exception()))

    def dispatch(self, older_than: float = 2.0) -> int:
        """Start what is still PENDING and repeat cancels that have not been heard.  Safe to run anywhere, any number of times.

        Gives how many operations it started.
        """
        then = utcnow() - timedelta(seconds=older_than)
        pending = OperationRow.state == OperationState.PENDING, OperationRow.created_at < then
        unheard = OperationRow.state.in_(OperationState.open()), OperationRow.cancel_requested_at < then
        with self._database.read() as s:
            to_start = list(s.scalars(select(OperationRow).where(*pending).order_by(OperationRow.created_at).limit(100)))
            to_cancel = list(s.scalars(select(OperationRow).where(*unheard).limit(100)))
        for row in to_cancel:
            self._attempt(row, self._cancel(row))
        return sum(bool(self._attempt(row, self._start(row))) for row in to_start)

    def _attempt(self, row: OperationRow, action: Coroutine[Any, Any, R]) -> R | None:
        """One row that Temporal will not take must not keep the others; with Temporal away the whole round is over."""
        try:
            return self._temporal.run(action, timeout=60)
        except RPCError as e:
            if e.status in AWAY:
                raise
            log.error("an operation can't be started", operation_id=row.id, reason=e.message)
            return None

    async def _start(self, row: OperationRow) -> str:
        """The id of the operation's run, begun now or before; "" while the run before it is still closing (the dispatcher comes again)."""
        client = await self._temporal.client()
        try:
            run_id = await self._begin(client, row)
        except WorkflowAlreadyStartedError:
            run_id = await self._run_of(client, row)
        if run_id:
            await asyncio.to_thread(self._mark_started, row.id)
        return run_id

    async def _begin(self, client: Client, row: OperationRow) -> str:
        datastore = await asyncio.to_thread(self._datastore_of, row.instance_id)
        handle = await client.start_workflow(
            row.kind,
            row.input,
            id=row.workflow_id,
            task_queue=self._temporal.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            static_summary=f"{row.kind} of instance {row.instance_id}",
            memo={"operation_id": row.id},
            search_attributes=_search_attributes(row, datastore),
            rpc_timeout=self._rpc_timeout,
        )
        return handle.result_run_id or ""

    def _datastore_of(self, instance_id: str) -> str:
        named = (
            select(Datastore.name)
            .join(DatastoreVersion, DatastoreVersion.datastore_id == Datastore.id)
            .join(Instance, Instance.datastore_version_id == DatastoreVersion.id)
        )
        with self._database.read() as s:
            return s.scalars(named.where(Instance.id == instance_id)).first() or ""

    async def _run_of(self, client: Client, row: OperationRow) -> str:
        """The operation's run, if the newest run of its workflow id is it; else ""."""
        try:
            described = await client.get_workflow_handle(row.workflow_id).describe(rpc_timeout=self._rpc_timeout)
        except RPCError as e:
            if e.status is RPCStatusCode.NOT_FOUND:
                return ""
            raise
        mine = await described.memo_value("operation_id", "") == row.id
        return described.run_id or "" if mine else ""

    def _mark_started(self, operation_id: str) -> None:
        with self._database.write() as s:
            mine = update(OperationRow).where(OperationRow.id == operation_id, OperationRow.state == OperationState.PENDING)
            s.execute(mine.values(state=OperationState.STARTED))

    # -- waiting

    def start_and_wait(self, row: OperationRow, deadline: float) -> None:
        """Begin and await the end.  Raises OperationFailed, or StillRunning after `deadline` seconds or with Temporal away."""
        try:
            self._temporal.run(self._started_result(row), timeout=deadline)
        except (TimeoutError, RPCError) as e:
            raise StillRunning(row.id) from e
        except WorkflowFailureError as e:
            raise _failed(e) from e

    async def _started_result(self, row: OperationRow) -> None:
        client = await self._temporal.client()
        while not (run_id := await self._start(row)):
            # The lock is ours in SQL, so the run that still holds the id is closing: its end is the event to wait for.
            await self._closed(client, row.workflow_id)
        try:
            await client.get_workflow_handle(row.workflow_id, run_id=run_id).result()
        except WorkflowFailureError as e:
            if _failed(e).type != "NotClaimed":
                raise
            # Somebody else had started it for us, and it came to its end before our start.
            await asyncio.to_thread(self._tell_outcome, row.id)

    def _tell_outcome(self, operation_id: str) -> None:
        with self._database.read() as s:
            row = s.get_one(OperationRow, operation_id)
        if row.state in OperationState.open():
            raise StillRunning(operation_id)
        if row.state != OperationState.DONE:
            raise OperationFailed(row.error_type or "Cancelled", row.error_message or "The operation was cancelled.")

    async def _end_of(self, row: OperationRow) -> None:
        client = await self._temporal.client()
        run_id = await self._run_of(client, row)
        if not run_id:
            if not await asyncio.to_thread(self._is_open, row.id):
                return
            run_id = await self._start(row)
        await self._closed(client, row.workflow_id, run_id or None)

    def _is_open(self, operation_id: str) -> bool:
        with self._database.read() as s:
            return s.get_one(OperationRow, operation_id).state in OperationState.open()

    @staticmethod
    async def _closed(client: Client, workflow_id: str, run_id: str | None = None) -> None:
        try:
            await client.get_workflow_handle(workflow_id, run_id=run_id).result()
        except WorkflowFailureError:
            log.debug("run closed with a failure", workflow_id=workflow_id)

    def wait_for_end(self, row: OperationRow, timeout: float) -> None:
        """Until the run of `row` has closed, however it ends.  Raises StillRunning after `timeout` seconds or with Temporal away."""
        try:
            self._temporal.run(self._end_of(row), timeout=timeout)
        except (TimeoutError, RPCError) as e:
            raise StillRunning(row.id) from e

    def ask(self, question: GuestQuestion) -> dict[str, Any]:
        """One read from a guest, through a worker.  Raises OperationFailed (the guest said no) or GuestSilent."""
        try:
            return self._temporal.run(self._ask(question), timeout=question.deadline + 1)
        except (TimeoutError, RPCError) as e:
            raise GuestSilent(question.instance_id) from e
        except WorkflowFailureError as e:
            failed = _failed(e)
            if failed.type in ("Timeout", "GuestUnreachable"):
                raise GuestSilent(question.instance_id) from e
            raise failed from e

    async def _ask(self, question: GuestQuestion) -> dict[str, Any]:
        client = await self._temporal.client()
        result: dict[str, Any] = await client.execute_workflow(
            "GuestRead",
            question,
            id=f"guest-read:{new_id()}",
            task_queue=self._temporal.task_queue,
            execution_timeout=timedelta(seconds=question.deadline),
            static_summary=f"{question.method} of instance {question.instance_id}",
            result_type=dict[str, Any],
        )
        return result

    # -- acting on an operation

    def cancel(self, operation_id: str) -> None:
        """Ask for it to be taken back.  Raises NotAllowed."""
        with self._database.write() as s:
            row = s.get_one(OperationRow, operation_id)
            if row.state not in OperationState.open():
                raise NotAllowed(f"Operation {row.id} has ended: {row.state}.")
            if not KINDS[row.kind].cancellable:
                raise NotAllowed(f"{row.kind} can't be cancelled once accepted; it ends by itself.")
            row.cancel_requested_at = row.cancel_requested_at or utcnow()
        self._temporal.submit(self._cancel(row)).add_done_callback(lambda f: _told(row.id, f.exception()))

    async def _cancel(self, row: OperationRow) -> None:
        """Start it first where it has not begun: the run itself then unwinds, in one place."""
        if run_id := await self._start(row):
            client = await self._temporal.client()
            await client.get_workflow_handle(row.workflow_id, run_id=run_id).cancel(rpc_timeout=self._rpc_timeout)

    def break_off(self, row: OperationRow) -> None:
        """Have the run stop as soon as it can: what can be taken back unwinds, the rest is terminated.  Raises GuestSilent with Temporal away."""
        try:
            self._temporal.run(self._break_off(row), timeout=5)
        except (TimeoutError, RPCError) as e:
            raise GuestSilent(row.id) from e

    async def _break_off(self, row: OperationRow) -> None:
        client = await self._temporal.client()
        if not (run_id := await self._run_of(client, row)):
            return
        handle = client.get_workflow_handle(row.workflow_id, run_id=run_id)
        try:
            if KINDS[row.kind].cancellable:
                await handle.cancel(rpc_timeout=self._rpc_timeout)
            else:
                await handle.terminate(reason="its status was reset", rpc_timeout=self._rpc_timeout)
        except RPCError as e:
            if e.status is not RPCStatusCode.NOT_FOUND:  # it closed meanwhile
                raise

    def reachable(self) -> bool:
        """Whether Temporal answers now."""
        try:
            return self._temporal.run(self._reachable(), timeout=self._rpc_timeout.total_seconds() + 0.5)
        except (TimeoutError, RPCError):
            return False

    async def _reachable(self) -> bool:
        client = await self._temporal.client()
        return await client.service_client.check_health(timeout=self._rpc_timeout)

    def retry_now(self, row: OperationRow) -> int:
        """Wake the steps that wait for their next attempt.  Gives how many.  Raises NotAllowed when there is none, GuestSilent with Temporal away."""
        try:
            woken = self._temporal.run(self._retry_now(row), timeout=5)
        except (TimeoutError, RPCError) as e:
            raise GuestSilent(row.id) from e
        if not woken:
            raise NotAllowed(f"No step of operation {row.id} waits for another attempt.")
        return woken

    async def _retry_now(self, row: OperationRow) -> int:
        client = await self._temporal.client()
        described = await client.get_workflow_handle(row.workflow_id).describe()
        if described.status != WorkflowExecutionStatus.RUNNING:
            return 0
        waiting = [a.activity_id for a in described.raw_description.pending_activities if a.attempt > 1]
        for activity_id in waiting:
            request = ResetActivityRequest(namespace=client.namespace, identity="coffer-api", id=activity_id)
            request.execution.workflow_id, request.execution.run_id = row.workflow_id, described.run_id or ""
            await client.workflow_service.reset_activity(request)
        return len(waiting)


def open_operation(s: Session, instance: Instance) -> OperationRow | None:
    """What runs on the instance now; a deletion outranks the rest."""
    holder = instance.delete_operation_id or instance.operation_id
    return s.get(OperationRow, holder) if holder else None


def release_unstarted(s: Session, row: OperationRow) -> bool:
    """Close an operation whose workflow never claimed it.  Gives whether it was so."""
    waiting = OperationRow.state.in_((OperationState.PENDING, OperationState.STARTED))
    mine = update(OperationRow).where(OperationRow.id == row.id, waiting)
    return bool(rows_changed(s, mine.values(state=OperationState.CANCELLED, finished_at=utcnow())))


def _search_attributes(row: OperationRow, datastore: str) -> TypedSearchAttributes:
    values: Mapping[str, str] = {
        "CofferResource": row.instance_id,
        "CofferProject": row.project_id,
        "CofferOperation": row.id,
        "CofferDatastore": datastore,
        "CofferPhase": "running",
        "CofferRequestId": row.request_id,
    }
    return TypedSearchAttributes(
        [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in values.items()]
    )


def _failed(e: WorkflowFailureError) -> OperationFailed:
    cause: BaseException | None = e.cause
    if isinstance(cause, ActivityError):
        cause = cause.cause or cause
    if isinstance(cause, CancelledError):
        return OperationFailed("Cancelled", "The operation was cancelled.")
    if isinstance(cause, ApplicationError):
        return OperationFailed(cause.type or "ApplicationError", cause.message)
    return OperationFailed("Timeout", str(cause))


def _told(operation_id: str, problem: BaseException | None) -> None:
    if problem is not None:
        known = isinstance(problem, RPCError) and problem.status in AWAY
        log.warning("left to the dispatcher", operation_id=operation_id, reason=type(problem).__name__, temporal_away=known)
