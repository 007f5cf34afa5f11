"""Operations acting on operations."""

import asyncio

from sqlalchemy import update
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from models import Database, Instance, OperationRow, OperationState
from models.base import rows_changed, utcnow
from models.outbox import record_end
from workflows.contracts import Operation

BEAT = 1.0


class OperationActivities:
    """`patience`: seconds a cancelled run may take to unwind before it is terminated; what it leaves is removed by tag all the same."""

    def __init__(self, database: Database, client: Client, patience: float = 600.0) -> None:
        self._database, self._client, self._patience = database, client, patience

    @activity.defn(name="operations.settle_holder")
    async def settle_holder(self, op: Operation) -> None:
        """Cancel whatever holds the instance and wait until it has closed."""
        row = await asyncio.to_thread(self._holder, op.instance_id)
        if row is None:
            return
        handle = self._client.get_workflow_handle(row.workflow_id)
        if await self._running(handle, row.id):
            await handle.cancel()
            await self._closed(handle)
        await asyncio.to_thread(self._close, row.id)

    async def _running(self, handle: "WorkflowHandle[object, object]", operation_id: str) -> bool:
        """Whether a run of this very operation is open."""
        try:
            described: WorkflowExecutionDescription = await handle.describe()
        except RPCError as e:
            if e.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return described.close_time is None and await described.memo_value("operation_id", "") == operation_id

    async def _closed(self, handle: "WorkflowHandle[object, object]") -> None:
        ended = asyncio.ensure_future(self._end_of(handle))
        for _ in range(int(self._patience / BEAT)):
            activity.heartbeat()
            done, _pending = await asyncio.wait([ended], timeout=BEAT)
            if done:
                return await ended
        await handle.terminate(reason="did not unwind in time; the instance is being deleted")
        return await ended

    @staticmethod
    async def _end_of(handle: "WorkflowHandle[object, object]") -> None:
        try:
            await handle.result()
        except WorkflowFailureError as e:
            activity.logger.info("the holder closed: %s", type(e.cause).__name__)

    def _holder(self, instance_id: str) -> OperationRow | None:
        with self._database.read() as s:
            instance = s.get_one(Instance, instance_id)
            return s.get(OperationRow, instance.operation_id) if instance.operation_id else None

    def _close(self, operation_id: str) -> None:
        """A run that never began, or was terminated, closes nothing itself."""
        with self._database.write() as s:
            mine = update(OperationRow).where(OperationRow.id == operation_id, OperationRow.state.in_(OperationState.open()))
            if rows_changed(s, mine.values(state=OperationState.CANCELLED, error_type="Cancelled", finished_at=utcnow())):
                s.execute(update(Instance).where(Instance.operation_id == operation_id).values(operation_id=None))
                row = s.get_one(OperationRow, operation_id, populate_existing=True)
                record_end(s, s.get_one(Instance, row.instance_id), row)
