"""Where threads meet the async Temporal client: one loop thread per process, opened on first use, because neither loop nor client survives fork."""

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.service import KeepAliveConfig, RPCError, RPCStatusCode

R = TypeVar("R")


class TemporalBridge:
    def __init__(self, address: str, namespace: str, converter: DataConverter, task_queue: str = "coffer") -> None:
        self.address, self.namespace, self.task_queue = address, namespace, task_queue
        self._converter = converter
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._pid = -1

    def run(self, coro: Coroutine[Any, Any, R], timeout: float) -> R:
        """Run on the loop thread and wait.  Raises TimeoutError, and whatever the coroutine raises."""
        future = self.submit(coro)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    def submit(self, coro: Coroutine[Any, Any, R]) -> "Future[R]":
        """Run on the loop thread without waiting."""
        with self._lock:
            if self._pid != os.getpid():
                self._open()
        return asyncio.run_coroutine_threadsafe(coro, self._loop)

    async def client(self) -> Client:
        """For use inside coroutines of this bridge.  Raises RPCError when there is nothing to connect to."""
        if self._client is None:
            try:
                self._client = await Client.connect(
                    self.address,
                    namespace=self.namespace,
                    data_converter=self._converter,
                    keep_alive_config=KeepAliveConfig(interval_millis=10_000, timeout_millis=5_000),
                )
            except RuntimeError as e:  # what the SDK makes of a refused connection
                raise RPCError(str(e), RPCStatusCode.UNAVAILABLE, b"") from e
        return self._client

    def close(self) -> None:
        """The loop thread must have ended before the interpreter does: the client's core would call into it."""
        if self._pid != os.getpid():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._pid = -1

    def _open(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._client = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="temporal", daemon=True)
        self._thread.start()
        self._pid = os.getpid()
        atexit.register(self.close)
