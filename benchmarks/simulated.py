"""Simulated guests: so cheap that thousands of them fit beside what they measure.  One event loop, HTTP by hand."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

PERIOD = 10.0
ANSWER_SECONDS = 10.0
"""An agent gives up a post after as many."""
FIRST_NUMBER = 100_000
"""So that all numbers have as many digits."""
TAKEN_IN = "201"


@dataclass
class Record:
    """What all guests met with; times in seconds."""

    answers: Counter[str] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)


class Guest:
    """Posts a whole report every ten seconds, jittered by a tenth, on a new connection each time; `taken_in` is the number of the last
    one that was acknowledged."""

    def __init__(
        self, instance_id: str, post_to: Mapping[str, str], report: Mapping[str, Any], client: str, record: Record
    ) -> None:
        where = urlsplit(post_to["url"])
        self.instance_id, self.number, self.taken_in = instance_id, FIRST_NUMBER, 0
        self._host, self._port, self._record = str(where.hostname), where.port or 80, record
        body = json.dumps({"messages": [{"ttl": 300, "body": {**report, "number": FIRST_NUMBER}}]}).encode()
        self._before, self._after = body.split(str(FIRST_NUMBER).encode())
        headers = {
            "Host": where.netloc,
            "X-Project-ID": post_to["project"],
            "URL-Paths": post_to["paths"],
            "URL-Methods": post_to["methods"],
            "URL-Expires": post_to["expires"],
            "URL-Signature": post_to["signature"],
            "Client-ID": client,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        self._head = (
            f"POST {where.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        )

    async def live(self, until: float) -> None:
        at = time.monotonic() + random.uniform(0, PERIOD)  # noqa: S311  (spreads guests, guards nothing)
        while at < until:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            await self._post()
            at = max(at + PERIOD * random.uniform(0.9, 1.1), time.monotonic())  # noqa: S311

    async def _post(self) -> None:
        self.number += 1
        number, began = self.number, time.monotonic()
        request = self._head.encode() + self._before + str(number).encode() + self._after
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status = await self._said(request)
        except (OSError, TimeoutError) as e:
            self._record.answers[type(e).__name__] += 1
            return
        self._record.answers[status] += 1
        self._record.took.append(time.monotonic() - began)
        if status == TAKEN_IN:
            self.taken_in = number

    async def _said(self, request: bytes) -> str:
        """The status of the answer."""
        transport, line = await asyncio.get_running_loop().create_connection(_Line, self._host, self._port)
        try:
            transport.write(request)
            return await line.status
        finally:
            transport.close()


class _Line(asyncio.Protocol):
    """A connection for one request, which the other side ends."""

    def __init__(self) -> None:
        self._heard = b""
        self.status: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._heard += data

    def connection_lost(self, _reason: Exception | None) -> None:
        if self.status.done():
            return
        if b"\r\n\r\n" in self._heard:
            self.status.set_result(self._heard.split(b" ", 2)[1].decode("latin-1"))
        else:
            self.status.set_exception(ConnectionResetError("closed before the answer"))
            self.status.exception()  # one that has given up by now does not ask for it


async def report(guests: Sequence[Guest], seconds: float) -> None:
    until = time.monotonic() + seconds
    await asyncio.gather(*(guest.live(until) for guest in guests))
