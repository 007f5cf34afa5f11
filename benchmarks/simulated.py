"""Simulated guests: so cheap that thousands of them fit beside what they measure.  One thread, sockets and HTTP by hand."""

import heapq
import json
import random
import select
import socket
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
ANSWER_BYTES = 65536


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
        self._address, self._record = (str(where.hostname), where.port or 80), record
        body = json.dumps({"messages": [{"ttl": 300, "body": {**report, "number": FIRST_NUMBER}}]}).encode()
        before, self._after = body.split(str(FIRST_NUMBER).encode())
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
        head = f"POST {where.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        self._before = head.encode() + before
        self._began = self._ends = 0.0
        self._line: socket.socket | None = None
        self._heard = b""

    def begin(self, now: float) -> socket.socket:
        """The connection of its next report, which waits to be told that it stands."""
        self._began, self._ends, self._heard = now, now + ANSWER_SECONDS, b""
        self.number += 1
        self._line = socket.socket()
        self._line.setblocking(False)
        self._line.connect_ex(self._address)
        return self._line

    def send(self) -> None:
        """A report and its headers fit into what a connection takes at once."""
        assert self._line
        self._line.send(self._before + str(self.number).encode() + self._after)

    def hear(self) -> bool:
        """Whether the answer is whole, which the other side's end says."""
        assert self._line
        piece = self._line.recv(ANSWER_BYTES)
        self._heard += piece
        return not piece

    def end(self, now: float, trouble: str = "") -> float:
        """When its next report begins."""
        assert self._line
        self._line.close()
        self._line = None
        if b"\r\n\r\n" not in self._heard:
            self._record.answers[trouble or "closed before the answer"] += 1
        else:
            status = self._heard.split(b" ", 2)[1].decode("latin-1")
            self._record.answers[status] += 1
            self._record.took.append(now - self._began)
            if status == TAKEN_IN:
                self.taken_in = self.number
        return max(now, self._began + PERIOD * random.uniform(0.9, 1.1))  # noqa: S311  (spreads guests, guards nothing)

    @property
    def patience_ends(self) -> float:
        return self._ends


class Crowd:
    """All guests at once."""

    def __init__(self, guests: Sequence[Guest]) -> None:
        now = time.monotonic()
        self._due = [(now + random.uniform(0, PERIOD), n) for n in range(len(guests))]  # noqa: S311
        heapq.heapify(self._due)
        self._guests, self._epoll = guests, select.epoll()
        self._waiting: dict[int, int] = {}  # file descriptor: guest; in the order in which patience ends

    def live(self, until: float) -> None:
        while time.monotonic() < until or self._waiting:
            now = time.monotonic()
            while self._due and self._due[0][0] <= now < until:
                self._begin(heapq.heappop(self._due)[1], now)
            for descriptor, events in self._epoll.poll(0.01):
                self._attend(descriptor, events)
            self._give_up()
        self._epoll.close()

    def _begin(self, number: int, now: float) -> None:
        descriptor = self._guests[number].begin(now).fileno()
        self._waiting[descriptor] = number
        self._epoll.register(descriptor, select.EPOLLOUT)

    def _attend(self, descriptor: int, events: int) -> None:
        guest = self._guests[self._waiting[descriptor]]
        try:
            if events & select.EPOLLOUT:
                guest.send()
                self._epoll.modify(descriptor, select.EPOLLIN)
            elif guest.hear():
                self._end(descriptor)
        except OSError as e:
            self._end(descriptor, type(e).__name__)

    def _give_up(self) -> None:
        now = time.monotonic()
        while self._waiting:
            descriptor = next(iter(self._waiting))
            if self._guests[self._waiting[descriptor]].patience_ends > now:
                return
            self._end(descriptor, "no answer in time")

    def _end(self, descriptor: int, trouble: str = "") -> None:
        number = self._waiting.pop(descriptor)
        self._epoll.unregister(descriptor)
        heapq.heappush(self._due, (self._guests[number].end(time.monotonic(), trouble), number))


def report(guests: Sequence[Guest], seconds: float) -> None:
    Crowd(guests).live(time.monotonic() + seconds)
