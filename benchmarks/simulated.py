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
    connections: int = 0


class Guest:
    """Posts a whole report every ten seconds, jittered by a tenth, over a connection that it keeps; `taken_in` is the number of the last
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
        }
        self._head = (
            f"POST {where.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        )
        self._line: _Line | None = None

    async def live(self, until: float) -> None:
        at = time.monotonic() + random.uniform(0, PERIOD)  # noqa: S311  (spreads guests, guards nothing)
        while at < until:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            await self._post()
            at = max(at + PERIOD * random.uniform(0.9, 1.1), time.monotonic())  # noqa: S311
        if self._line:
            self._line.close()

    async def _post(self) -> None:
        self.number += 1
        number, began = self.number, time.monotonic()
        request = self._head.encode() + self._before + str(number).encode() + self._after
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status = await self._said(request)
        except (OSError, TimeoutError) as e:
            self._record.answers[type(e).__name__] += 1
            self._hang_up()
            return
        self._record.answers[status] += 1
        self._record.took.append(time.monotonic() - began)
        if status == TAKEN_IN:
            self.taken_in = number

    async def _said(self, request: bytes) -> str:
        """The status of the answer.  A kept connection may be found closed: then once more, on a new one."""
        if self._line is not None and not self._line.closed:
            try:
                return await self._line.ask(request)
            except ConnectionError:
                self._hang_up()
        self._record.connections += 1
        _, self._line = await asyncio.get_running_loop().create_connection(_Line, self._host, self._port)
        return await self._line.ask(request)

    def _hang_up(self) -> None:
        if self._line:
            self._line.close()
            self._line = None


class _Line(asyncio.Protocol):
    """A connection; one question at a time."""

    def __init__(self) -> None:
        self.closed = False
        self._heard = b""
        self._answer: asyncio.Future[str] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def ask(self, request: bytes) -> asyncio.Future[str]:
        self._heard, self._answer = b"", asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, end, body = self._heard.partition(b"\r\n\r\n")
        if not end or self._answer is None or self._answer.done():
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if len(body) >= int(headers.get("content-length", 0)):
            self.closed = headers.get("connection") == "close"
            self._answer.set_result(lines[0].split()[1])

    def connection_lost(self, _reason: Exception | None) -> None:
        self.closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("closed before the answer"))

    def close(self) -> None:
        self._transport.close()


async def report(guests: Sequence[Guest], seconds: float) -> None:
    until = time.monotonic() + seconds
    await asyncio.gather(*(guest.live(until) for guest in guests))
