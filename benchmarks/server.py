"""A process that serves HTTP, and what its answers cost it."""

import http.client
import json
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 30
ANSWER_SECONDS = 90.0


@dataclass(frozen=True)
class Server:
    """`who`: the headers that say who asks."""

    pid: int
    host: str
    port: int
    who: Mapping[str, str]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=ANSWER_SECONDS)

    def headers(self) -> dict[str, str]:
        return {**self.who, "Client-ID": str(uuid.uuid4()), "Content-Type": "application/json"}

    def cpu(self) -> float:
        """Milliseconds that its processes have used until now."""
        return process_cpu_ms(self.pid)


def process_cpu_ms(pid: int) -> float:
    """CPU milliseconds that a process and its children have used until now."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    # The kernel's number for the CPU clock of a process; /proc counts in hundredths of a second only.
    return sum(time.clock_gettime_ns((~one << 3) | 2) for one in (pid, *map(int, children))) / 1e6


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def await_answer(server: Server) -> None:
    """Raises OSError when it does not listen in time."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((server.host, server.port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def ask(
    connection: http.client.HTTPConnection, headers: Mapping[str, str], method: str, path: str, body: Any = None
) -> dict[str, Any]:
    connection.request(method, path, None if body is None else json.dumps(body).encode(), dict(headers))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
    return dict(json.loads(text)) if text else {}
