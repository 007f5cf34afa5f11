"""The agent's Unix socket: JSON lines, requests on one connection answered in order."""

import json
import logging
import os
import socket
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from guest_agent import fields
from guest_agent.errors import GuestError, Internal, InvalidRequest

LOG = logging.getLogger(__name__)

MAX_LINE = 1 << 20
MAX_CONNECTIONS = 32
IDLE_SECONDS = 600

Handle = Callable[[str, dict[str, Any]], object]


class RpcServer:
    """One thread a connection; a client beyond the bound waits in the listen queue until another leaves."""

    def __init__(self, path: Path, handle: Handle) -> None:
        self._handle = handle
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        umask = os.umask(0o177)
        self._listener.bind(str(path))
        os.umask(umask)
        self._listener.listen(MAX_CONNECTIONS)

    def serve_forever(self) -> None:
        while True:
            self._free.acquire()
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as requests:
                connection.settimeout(IDLE_SECONDS)
                self._converse(connection, requests)
        except OSError as error:
            # A client that has gone away or fallen silent; whatever it started goes on without it.
            LOG.debug("connection lost: %s", error)
        finally:
            self._free.release()

    def _converse(self, connection: socket.socket, requests: IO[bytes]) -> None:
        while line := requests.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                connection.sendall(_failure(None, InvalidRequest(f"A line is at most {MAX_LINE} bytes.")))
                return
            if not line.endswith(b"\n"):
                return
            connection.sendall(self.answer(line))

    def answer(self, line: bytes) -> bytes:
        """The response line to a request line."""
        id_: object = None
        try:
            request = _parse(line)
            id_ = request.get("id")
            taken = fields.take(
                request,
                "request",
                required={"id": _identifier, "method": fields.text},
                optional={"params": fields.json_object},
            )
            response = _line({"id": id_, "result": self._handle(taken["method"], taken["params"] or {})})
            if len(response) > MAX_LINE:
                raise InvalidRequest("The answer would be too long; ask for less with limit.")
        except GuestError as error:
            return _failure(id_, error)
        except Exception as error:  # noqa: BLE001 - a bug must become an answer, not a dead connection
            where = "".join(traceback.format_tb(error.__traceback__))
            LOG.error("request: %s\n%s", type(error).__name__, where)
            return _failure(id_, Internal(f"{type(error).__name__} in the agent."))
        return response


def _parse(line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidRequest("That is not JSON.") from None
    if not isinstance(request, dict):
        raise InvalidRequest("A request is an object.")
    return request


def _identifier(value: object, where: str) -> int | str:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise InvalidRequest(f"{where} is not a number or a string.")
    return value


def _failure(id_: object, error: GuestError) -> bytes:
    id_ = id_ if isinstance(id_, (int, str)) else None
    return _line({"id": id_, "error": {"type": error.type, "message": str(error)}})


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"
