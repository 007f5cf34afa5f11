"""What messages cost: CPU of the API's processes per post, and per minute that a request waits for messages that do not come."""

import configparser
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.stack import Stack, sign_in
from tests.support.databases import postgresql
from tests.support.redisserver import redis_url

SERIES, POSTS = 3, 500
WAITERS, SECONDS = (4, 50), 60
GOALS = {"Redis": 1.2, "SQLite": 1.8, "PostgreSQL": 2.2}
MESSAGE = {"messages": [{"body": {"event": "heartbeat", "text": "x" * 100}, "ttl": 300}]}


@dataclass(frozen=True)
class Api:
    """An API process of its own on the stack's database, with threads enough for many that wait."""

    pid: int
    host: str
    port: int
    token: str

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=SECONDS + 30)

    def headers(self) -> dict[str, str]:
        return {"X-Auth-Token": self.token, "Client-ID": str(uuid.uuid4()), "Content-Type": "application/json"}

    def cpu(self) -> float:
        """Milliseconds that its processes have used until now."""
        return process_cpu_ms(self.pid)


def process_cpu_ms(pid: int) -> float:
    """CPU milliseconds that a process and its children have used until now."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    # The kernel's number for the CPU clock of a process; /proc counts in hundredths of a second only.
    return sum(time.clock_gettime_ns((~one << 3) | 2) for one in (pid, *map(int, children))) / 1e6


def rows(stack: Stack) -> list[tuple[str, str, str, bool]]:
    """(what, measured, goal, met)"""
    found = []
    with ExitStack() as running:
        api = running.enter_context(_api(stack))
        uris = {
            "Redis": running.enter_context(redis_url()),
            "SQLite": f"sqlite:///{stack.state}/bench-pool.db",
            "PostgreSQL": running.enter_context(postgresql()),
        }
        for kind, uri in uris.items():
            queue = _make_queue(api, kind.lower(), uri)
            for how, headers in (("token", api.headers()), ("signed URL", _signed(api, queue))):
                spent = _post(api, queue, headers)
                found.append((f"post to {kind} by {how}, CPU ms", f"{spent:.2f}", f"<= {GOALS[kind]}", spent <= GOALS[kind]))
        alone = _per_minute(api)
        found.append(("a minute in which nobody asks, CPU ms", f"{alone:.1f}", "<= 60", alone <= 60))
        for many in WAITERS:
            whole, each = _wait(api, many, alone)
            what = f"a minute in which {many} wait for a message, CPU ms"
            found.append((what, f"{whole:.1f}", "", True))
            found.append((f"{what}, for each of them beyond the process' own", f"{each:.2f}", "<= 1", each <= 1))
    return found


@contextmanager
def _api(stack: Stack) -> Iterator[Api]:
    conf = configparser.ConfigParser(interpolation=None)
    conf.read(stack.state / "coffer.conf")
    conf["api"]["threads"] = str(max(WAITERS) + 10)
    conf["messaging"] = {"max_waiters": str(max(WAITERS))}
    path = stack.state / "bench.conf"
    with path.open("w") as f:
        conf.write(f)
    host = "127.0.0.1"
    with socket.socket() as probe:
        probe.bind((host, 0))
        port = int(probe.getsockname()[1])
    serve = [
        "--bind",
        f"{host}:{port}",
        "--worker-class",
        "api.serving.Worker",
        "--threads",
        conf["api"]["threads"],
        "--keep-alive",
        "30",
    ]
    command = [sys.executable, "-m", "gunicorn", *serve, "--log-level", "warning", "--no-control-socket", "api.app:from_config()"]
    with (stack.state / "log" / "bench-api.log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, "COFFER_CONFIG": str(path)}, stderr=log)
    try:
        _await(host, port)
        yield Api(process.pid, host, port, sign_in(stack.state, "coffer-admin")[0])
    finally:
        process.terminate()
        process.wait(30)


def _await(host: str, port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((host, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _ask(
    connection: http.client.HTTPConnection, headers: Mapping[str, str], method: str, path: str, body: Any = None
) -> dict[str, Any]:
    connection.request(method, path, None if body is None else json.dumps(body).encode(), dict(headers))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
    return dict(json.loads(text)) if text else {}


def _make_queue(api: Api, kind: str, uri: str) -> str:
    """In a pool of its own of that kind."""
    connection, queue = api.connect(), f"bench-{kind}"
    _ask(connection, api.headers(), "PUT", f"/v2/pools/{kind}", {"uri": uri, "weight": 100})
    _ask(connection, api.headers(), "PUT", f"/v2/flavors/{kind}", {"pool_list": [kind]})
    _ask(connection, api.headers(), "PUT", f"/v2/queues/{queue}", {"_flavor": kind})
    connection.close()
    return queue


def _signed(api: Api, queue: str) -> dict[str, str]:
    connection = api.connect()
    made = _ask(connection, api.headers(), "POST", f"/v2/queues/{queue}/share", {"paths": ["messages"], "methods": ["POST"]})
    connection.close()
    url = {"URL-Signature": made["signature"], "URL-Expires": made["expires"], "X-Project-ID": made["project"]}
    listed = {"URL-Methods": ",".join(made["methods"]), "URL-Paths": ",".join(made["paths"])}
    return {**url, **listed, "Client-ID": str(uuid.uuid4()), "Content-Type": "application/json"}


def _post(api: Api, queue: str, headers: Mapping[str, str]) -> float:
    """CPU milliseconds for one post, one after another on one connection; the least of some series, since others use this machine too."""
    connection, spent = api.connect(), []
    for series in range(SERIES + 1):
        before = api.cpu()
        for _ in range(POSTS):
            _ask(connection, headers, "POST", f"/v2/queues/{queue}/messages", MESSAGE)
        if series:
            spent.append((api.cpu() - before) / POSTS)
    connection.close()
    return min(spent)


def _wait(api: Api, many: int, alone: float) -> tuple[float, float]:
    """CPU milliseconds in a minute in which so many wait: in all, and what each adds to the `alone` of a process that nobody asks, besides
    its coming and going."""

    def ask(number: int) -> None:
        connection = api.connect()
        _ask(connection, api.headers(), "POST", f"/v2/queues/bench-idle-{number}/claims?wait={SECONDS}")
        connection.close()

    connection = api.connect()
    for number in range(many):
        _ask(connection, api.headers(), "PUT", f"/v2/queues/bench-idle-{number}", {"_flavor": "redis"})
    connection.close()
    with ThreadPoolExecutor(many) as pool:
        asked = [pool.submit(ask, number) for number in range(many)]
        time.sleep(5)
        together = _per_minute(api)
        for one in asked:
            one.result()
    return together, (together - alone) / many


def _per_minute(api: Api) -> float:
    before, began = api.cpu(), time.monotonic()
    time.sleep(SECONDS - 10)
    return (api.cpu() - before) / (time.monotonic() - began) * 60
