"""Stands where Temporal would: records what is started and lets a test say how it goes."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from temporalio.api.workflowservice.v1 import ResetActivityRequest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.records import RecordActivities
from models import Database
from security.vault import Vault
from workflows.contracts import GuestQuestion, Operation, Outcome


@dataclass
class Run:
    """One started workflow."""

    kind: str
    input: dict[str, Any]
    workflow_id: str
    operation_id: str
    open: bool = True
    cancelled: bool = False
    terminated: bool = False
    waiting: list[str] = field(default_factory=list)
    error: ApplicationError | None = None

    @property
    def op(self) -> Operation:
        return Operation(**self.input["op"])


Guest = Callable[[str, dict[str, Any]], None]
"""A guest's side of a change: kind and spec; raises ApplicationError to refuse."""


class Temporal:
    """In place of TemporalBridge; its client is a part of it."""

    namespace = "default"
    task_queue = "coffer"

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault
        self.runs: list[Run] = []
        self.questions: list[GuestQuestion] = []
        self.answers: dict[str, Any] = {}
        self.away = False
        self.guest: Guest | None = lambda kind, spec: None
        """None: no change comes to its end."""
        self.changes: list[tuple[str, dict[str, Any]]] = []
        self.working = threading.Lock()
        self.woken: list[str] = []
        self.workflow_service = SimpleNamespace(reset_activity=self._reset_activity)
        self.service_client = SimpleNamespace(check_health=self._check_health)

    # -- as the bridge

    def run(self, coro: Coroutine[Any, Any, Any], timeout: float) -> Any:
        return asyncio.run(asyncio.wait_for(coro, timeout))

    def submit(self, coro: Coroutine[Any, Any, Any]) -> "Future[Any]":
        done: Future[Any] = Future()
        try:
            done.set_result(asyncio.run(coro))
        except RPCError as e:
            done.set_exception(e)
        return done

    async def client(self) -> "Temporal":
        if self.away:
            raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")
        return self

    # -- as the client

    async def start_workflow(self, kind: str, payload: dict[str, Any], *, id: str, memo: dict[str, str], **_: Any) -> Any:
        if any(run.open and run.workflow_id == id for run in self.runs):
            raise WorkflowAlreadyStartedError(id, kind)
        self.runs.append(Run(kind, json.loads(json.dumps(payload)), id, memo["operation_id"]))
        return SimpleNamespace(result_run_id=memo["operation_id"])

    async def execute_workflow(self, _kind: str, question: GuestQuestion, **_: Any) -> dict[str, Any]:
        self.questions.append(question)
        answer = self.answers[question.method]
        if isinstance(answer, ApplicationError):
            raise WorkflowFailureError(cause=answer)
        if answer is None:
            await asyncio.sleep(3600)
        return dict(answer)

    def get_workflow_handle(self, workflow_id: str, run_id: str | None = None) -> "Handle":
        found = [run for run in self.runs if run.workflow_id == workflow_id and run_id in (None, run.operation_id)]
        return Handle(self, found[-1] if found else None)

    async def _reset_activity(self, request: ResetActivityRequest) -> None:
        self.woken.append(request.id)

    async def _check_health(self, **_: Any) -> bool:
        return not self.away

    # -- as the worker

    def finish(self, run: Run, error: ApplicationError | None = None, cancelled: bool = False) -> None:
        """Close a run as its workflow would."""
        records = RecordActivities(self._database)
        if records.claim_operation(run.op):
            kind = "Cancelled" if cancelled else error.type or "" if error else ""
            message = error.message if error else ""
            records.finish_operation(Outcome(run.op, error is None and not cancelled, cancelled, kind, message))
        run.open, run.error = False, error

    def work(self, run: Run) -> None:
        """Let the guest do a change."""
        assert self.guest
        if not RecordActivities(self._database).claim_operation(run.op):
            run.open, run.error = False, ApplicationError("it has ended", type="NotClaimed")
            return
        with self._database.read() as s:
            spec = json.loads(self._vault.get(s, run.input["spec_ref"]))
        self.changes.append((run.input["kind"], spec))
        try:
            self.guest(run.input["kind"], spec)
        except ApplicationError as e:
            self.finish(run, e)
        else:
            self.finish(run)

    def of(self, kind: str) -> list[Run]:
        return [run for run in self.runs if run.kind == kind]


class Handle:
    def __init__(self, temporal: Temporal, run: Run | None) -> None:
        self._temporal, self._run = temporal, run

    @property
    def _found(self) -> Run:
        if self._run is None:
            raise RPCError("no such workflow", RPCStatusCode.NOT_FOUND, b"")
        return self._run

    async def result(self) -> None:
        run = self._found
        if run.open:
            if run.kind != "GuestWrite" or self._temporal.guest is None:
                await asyncio.sleep(3600)
            with self._temporal.working:
                if run.open:
                    self._temporal.work(run)
        if run.error:
            raise WorkflowFailureError(cause=run.error)

    async def describe(self, **_: Any) -> Any:
        run = self._found

        async def memo_value(_key: str, _default: str) -> str:
            return run.operation_id

        pending = [SimpleNamespace(activity_id=id, attempt=3) for id in run.waiting]
        return SimpleNamespace(
            close_time=None if run.open else "closed",
            status=WorkflowExecutionStatus.RUNNING if run.open else WorkflowExecutionStatus.COMPLETED,
            run_id=run.operation_id,
            memo_value=memo_value,
            raw_description=SimpleNamespace(pending_activities=pending),
        )

    async def cancel(self, **_: Any) -> None:
        self._found.cancelled = True

    async def terminate(self, **_: Any) -> None:
        self._found.terminated, self._found.open = True, False
