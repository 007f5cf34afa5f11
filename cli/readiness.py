"""Whether the control plane is usable: each part is asked in the way that its users will ask it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from cli.http import answers

Check = Callable[[], Awaitable[bool]]
PAUSE = 0.1


async def until(check: Check) -> None:
    while not await check():
        await asyncio.sleep(PAUSE)


class Checks:
    """One check for each part, by name."""

    def __init__(self, api_url: str, temporal_address: str, task_queue: str = "coffer", namespace: str = "default") -> None:
        self._healthcheck = f"{api_url}/healthcheck"
        self._address, self._queue, self._namespace = temporal_address, task_queue, namespace
        self._began = datetime.now(UTC)
        self._client: Client | None = None

    def by_name(self) -> Mapping[str, Check]:
        return {"temporal": self.temporal, "api": self.api, "worker": self.worker}

    async def api(self) -> bool:
        return await asyncio.to_thread(answers, self._healthcheck)

    async def temporal(self) -> bool:
        try:
            client = await self.client()
            return await client.service_client.check_health()
        except (RPCError, RuntimeError):
            return False

    async def worker(self) -> bool:
        """Whether one polls for both kinds of task.  Temporal remembers pollers for minutes: those of before don't count."""
        try:
            return all(
                [
                    await self._polled(kind)
                    for kind in (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
                ]
            )
        except (RPCError, RuntimeError):
            return False

    async def client(self) -> Client:
        if self._client is None:
            self._client = await Client.connect(self._address, namespace=self._namespace)
        return self._client

    async def _polled(self, kind: "TaskQueueType.ValueType") -> bool:
        request = DescribeTaskQueueRequest(
            namespace=self._namespace, task_queue=TaskQueue(name=self._queue), task_queue_type=kind
        )
        answer = await (await self.client()).workflow_service.describe_task_queue(request)
        return any(poller.last_access_time.ToDatetime(UTC) >= self._began for poller in answer.pollers)
