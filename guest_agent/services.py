"""Client of init's control socket."""

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guest_agent.errors import EngineFailed, EngineUnavailable, Internal

MAX_ANSWER = 1 << 20
STATUS_TIMEOUT = 5.0


@dataclass(frozen=True)
class UnitStatus:
    """`deaths`: how often it ended unasked since the server booted, 0 if init does not count: one that an earlier release has begun
    serves until the server boots. `enabled`: whether it is meant to run."""

    state: str
    pid: int | None
    deaths: int
    enabled: bool


class Services:
    """Starts and stops units through init. One connection a call: calls are rare and may come from several threads."""

    def __init__(self, init_socket: Path) -> None:
        self._path = str(init_socket)

    def define(self, name: str, unit: dict[str, Any]) -> None:
        self._call("define", name=name, unit=unit)

    def start(self, name: str) -> None:
        """Returns when the unit is ready."""
        self._call("start", name=name)

    def stop(self, name: str) -> None:
        """Returns when the unit's process is gone."""
        self._call("stop", name=name)

    def restart(self, name: str) -> None:
        """Returns when the unit is ready again."""
        self._call("restart", name=name)

    def remove(self, name: str) -> None:
        """Returns when the unit's process is gone and its file too.  Raises UnitNotFound."""
        self._call("remove", name=name)

    def status(self, name: str) -> UnitStatus:
        status = self._call("status", STATUS_TIMEOUT, name=name)
        return UnitStatus(status["state"], status["pid"], status.get("deaths", 0), status["enabled"])

    def _call(self, method: str, timeout: float | None = None, **params: object) -> dict[str, Any]:
        request = json.dumps({"id": 1, "method": method, "params": params}).encode() + b"\n"
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout)
                connection.connect(self._path)
                connection.sendall(request)
                with connection.makefile("rb") as answers:
                    line = answers.readline(MAX_ANSWER)
        except OSError as error:
            raise EngineUnavailable(f"init does not answer: {error.strerror or type(error).__name__}.") from None
        if not line.endswith(b"\n"):
            raise EngineUnavailable("init has closed the connection.")
        answer = json.loads(line)
        if "error" in answer:
            raise _error(answer["error"])
        result: dict[str, Any] = answer["result"]
        return result


class UnitNotFound(EngineFailed):
    """The unit has not been defined yet."""


def _error(error: dict[str, str]) -> Exception:
    if error["type"] == "StartFailed":
        return EngineFailed(error["message"])
    if error["type"] == "UnitNotFound":
        return UnitNotFound(error["message"])
    if error["type"] == "ShuttingDown":
        return EngineUnavailable(error["message"])
    return Internal(f"init refused: {error['message']}")
