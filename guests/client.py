"""Calls to one guest: JSON lines over a channel (docs/developer/guest-protocol.md)."""

import itertools
import json
from typing import Any, Protocol

import paramiko

from guests.errors import GuestError, GuestUnreachable
from guests.transport import Deadline

MAX_LINE = 1 << 20

Result = dict[str, Any]


class GuestClient(Protocol):
    def call(self, method: str, params: dict[str, Any] | None = None, deadline: float = 10.0) -> Result:
        """The result of one call, within `deadline` seconds.

        Raises GuestError for what the guest refuses and GuestUnreachable when there is no answer in time.
        """
        ...


class ChannelClient:
    """A GuestClient on one open channel, for one caller at a time.  After GuestUnreachable the channel is closed."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._ids = itertools.count(1)
        self._received = bytearray()

    def usable(self) -> bool:
        return not (self._channel.closed or self._channel.eof_received)

    def close(self) -> None:
        self._channel.close()

    def call(self, method: str, params: dict[str, Any] | None = None, deadline: float = 10.0) -> Result:
        until = Deadline(deadline)
        number = next(self._ids)
        request = encode(number, method, params)
        try:
            self._send(request, until)
            answer = self._receive(until)
        except GuestUnreachable:
            self.close()
            raise
        return self._result(number, answer)

    def _send(self, request: bytes, until: Deadline) -> None:
        """All or nothing: a line without its end has no effect in the guest."""
        rest = memoryview(request)
        try:
            while rest:
                self._channel.settimeout(until.remaining())
                count = self._channel.send(bytes(rest[:MAX_LINE]))
                if count == 0:
                    raise GuestUnreachable("the guest closed the channel")
                rest = rest[count:]
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise GuestUnreachable(f"the request could not be sent: {_reason(error)}") from error

    def _receive(self, until: Deadline) -> bytes:
        try:
            while (end := self._received.find(b"\n")) < 0:
                if len(self._received) > MAX_LINE:
                    raise GuestUnreachable("the guest's answer is too long", sent=True)
                self._channel.settimeout(until.remaining())
                data = self._channel.recv(65536)
                if not data:
                    raise GuestUnreachable("the guest closed the channel before it answered", sent=True)
                self._received += data
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise GuestUnreachable(f"the guest did not answer: {_reason(error)}", sent=True) from error
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return line

    def _result(self, number: int, line: bytes) -> Result:
        try:
            answer = json.loads(line)
        except ValueError as error:
            self.close()
            raise GuestUnreachable("the guest's answer is not JSON", sent=True) from error
        match answer:
            case {"id": answered, "result": dict(result)} if answered == number:
                return result
            case {"id": answered, "error": {"type": str(type_), "message": str(message)}} if answered in (number, None):
                raise GuestError(type_, message)
        self.close()
        raise GuestUnreachable("the guest's answer does not belong to the request", sent=True)


def encode(number: int, method: str, params: dict[str, Any] | None) -> bytes:
    line = json.dumps({"id": number, "method": method, "params": params or {}}, separators=(",", ":")).encode() + b"\n"
    if len(line) > MAX_LINE:
        raise GuestError("InvalidRequest", f"{method}: the request is larger than {MAX_LINE} bytes")
    return line


def _reason(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
