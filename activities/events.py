"""Standing duty and rounds of events: delivering what is in the outbox, and telling of instances that exist."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio import activity

from activities.delivery import Delivery
from activities.duties import Duties, Periodic, Standing
from activities.exists import Existence
from activities.waiting import still_wanted
from messaging.bell import Bell
from workflows.contracts import Duty

DELIVER, EXISTS = "events.deliver", "events.exists"
SUBJECT = "outbox"
LOOK_EVERY = 2.0
"""Seconds between looks when no bell rings: for changes that another machine has committed, and for who has been held back."""
SWEEP_EVERY = 60.0


class EventActivities:
    """`bell` rings when another process of this machine has committed events; `ring` is for those of this process."""

    def __init__(self, delivery: Delivery, existence: Existence, bell: Bell) -> None:
        self._delivery, self._existence, self._bell = delivery, existence, bell
        self._lock = threading.Lock()
        self._rung: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()

    def duties(self) -> Duties:
        standing = Standing(DELIVER, lambda: [SUBJECT] if self._delivery.wanted() else [])
        return Duties([standing], [Periodic(EXISTS, self._existence.every)])

    def ring(self) -> None:
        """Events have been committed here."""
        self._wake("", "")
        self._bell.ring("", "")

    def close(self) -> None:
        self._bell.close()

    @activity.defn(name=DELIVER)
    async def deliver(self, duty: Duty) -> bool:
        """Until the shift ends or nobody wants events any more."""
        rung, stopped = asyncio.Event(), threading.Event()
        whom = asyncio.get_running_loop(), rung
        with self._lock:
            self._rung.add(whom)
        self._bell.listen(self._wake)
        try:
            async with _beating():
                return await self._shift(rung, stopped)
        finally:
            stopped.set()
            with self._lock:
                self._rung.discard(whom)

    @activity.defn(name=EXISTS, no_thread_cancel_exception=True)
    def exists(self, duty: Duty) -> None:
        """One round."""
        self._existence.tell(still_wanted)

    async def _shift(self, rung: asyncio.Event, stopped: threading.Event) -> bool:
        limit = activity.info().start_to_close_timeout or timedelta(minutes=15)
        until, sweep_at = time.monotonic() + limit.total_seconds() / 3, 0.0
        while time.monotonic() < until and not activity.is_worker_shutdown():
            rung.clear()
            if time.monotonic() >= sweep_at:
                await asyncio.to_thread(self._delivery.sweep)
                sweep_at = time.monotonic() + SWEEP_EVERY
            if await asyncio.to_thread(self._delivery.round, lambda: not (stopped.is_set() or activity.is_worker_shutdown())):
                continue
            if not await asyncio.to_thread(self._delivery.wanted):
                return False
            await _first(rung.wait(), activity.wait_for_worker_shutdown(), asyncio.sleep(LOOK_EVERY))
        return True

    def _wake(self, _project: str, _queue: str) -> None:
        with self._lock:
            for loop, rung in self._rung:
                loop.call_soon_threadsafe(rung.set)


async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def _beating() -> AsyncIterator[None]:
    """Heartbeats by themselves: what is done in a thread may take longer than they may be missing."""
    timeout = activity.info().heartbeat_timeout or timedelta(seconds=6)
    beats = asyncio.create_task(_beat(min(1.0, timeout.total_seconds() / 4)))
    try:
        yield
    finally:
        beats.cancel()


async def _beat(every: float) -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(every)
