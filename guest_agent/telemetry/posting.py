"""One POST, within bounds of time and size whatever the other side does."""

import http.client
import io
import json
import socket
import time
from collections.abc import Mapping
from typing import Any

from guest_agent.telemetry.addresses import PORTS, parts_of

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
MAX_ANSWER = 65536
TAKEN_IN = 201


class NotPosted(Exception):
    """`status` is what the other side said, None if it said nothing that makes sense. The message holds no secret."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Bounds(OSError):
    """The other side takes too long, or says too much."""


def post(url: str, headers: Mapping[str, str], body: bytes, ca_file: str | None = None) -> Any:
    """What the answer holds, or None if that cannot be told; raises NotPosted unless it was taken in.

    No proxy is asked and no redirect followed: a report goes where it is signed for, or nowhere.
    """
    scheme, host, port, target = parts_of(url)
    until = time.monotonic() + TOTAL_SECONDS
    try:
        with socket.create_connection((host, port), CONNECT_SECONDS) as plain:
            connected = _secured(plain, host, ca_file) if scheme == "https" else plain
            with connected:
                connection = http.client.HTTPConnection(host, port)
                connection.default_port = PORTS[scheme]
                connection.auto_open = 0
                connection.sock = _Bounded(connected, until)
                return _converse(connection, target, headers, body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        # Not the error's words: they may quote what the other side has sent.
        raise NotPosted(f"{host}:{port}: {type(error).__name__}") from None


def _converse(connection: http.client.HTTPConnection, target: str, headers: Mapping[str, str], body: bytes) -> Any:
    connection.request("POST", target, body, {**headers, "Connection": "close"})
    response = connection.getresponse()
    if response.status != TAKEN_IN:
        raise NotPosted(f"{connection.host}:{connection.port} answers {response.status}", response.status)
    try:
        return json.loads(response.read(MAX_ANSWER))
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None


def _secured(plain: socket.socket, host: str, ca_file: str | None) -> socket.socket:
    import ssl  # Not for those who post in the clear: it takes memory.

    return ssl.create_default_context(cafile=ca_file).wrap_socket(plain, server_hostname=host)


class _Bounded:
    """A socket as http.client wants one; all that is said over it has to come to its end in time."""

    def __init__(self, connected: socket.socket, until: float) -> None:
        self._socket = connected
        self._until = until

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(self._remaining())
        self._socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Answer(self))

    def receive_into(self, buffer: memoryview) -> int:
        self._socket.settimeout(self._remaining())
        return self._socket.recv_into(buffer)

    def close(self) -> None:
        """Left to whoever has opened the socket: the answer is still to be read."""

    def _remaining(self) -> float:
        remaining = self._until - time.monotonic()
        if remaining <= 0:
            raise Bounds("too slow")
        return remaining


class _Answer(io.RawIOBase):
    def __init__(self, line: _Bounded) -> None:
        self._line = line
        self._left = 2 * MAX_ANSWER

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left <= 0:
            raise Bounds("too much")
        count = self._line.receive_into(memoryview(buffer)[: self._left])
        self._left -= count
        return count
