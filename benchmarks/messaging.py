"""What messages cost: CPU of the API's processes per post, and per minute that a request waits for messages that do not come."""

import configparser
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import zaqar
from benchmarks.server import Server, ask, await_answer, free_port
from benchmarks.stack import Stack, sign_in
from tests.support.databases import postgresql
from tests.support.redisserver import redis_url

SERIES, POSTS = 5, 300
WAITERS, SECONDS = (4, 50), 60
GOALS = {"Redis": 1.2, "SQLite": 1.8, "PostgreSQL": 2.2}
ZAQAR_MS = 3.5
"""What a post cost a Zaqar 23 where the goals were set: with one at hand, it says what their milliseconds are worth here and now."""
MESSAGE = {"messages": [{"body": {"event": "heartbeat", "text": "x" * 100}, "ttl": 300}]}
OURS, GUNICORNS = "api.serving.Worker", "gthread"


@dataclass(frozen=True)
class Way:
    """One way to post: measured again and again in turns with the others, since the machine changes its pace."""

    what: str
    server: Server
    queue: str
    headers: Mapping[str, str]
    goal: float | None = None


def rows(stack: Stack, peer: Path | None = None) -> list[tuple[str, str, str, bool]]:
    """(what, measured, goal, met). `peer`: the Python of an environment that has Zaqar."""
    with ExitStack() as running:
        api = running.enter_context(_api(stack, OURS))
        redis = running.enter_context(redis_url())
        uris = {
            "Redis": redis,
            "SQLite": f"sqlite:///{stack.state}/bench-pool.db",
            "PostgreSQL": running.enter_context(postgresql()),
        }
        ways = []
        for kind, uri in uris.items():
            queue = _make_queue(api, kind.lower(), uri)
            for how, headers in (("token", api.headers()), ("signed URL", _signed(api, queue))):
                ways.append(Way(f"post to {kind} by {how}", api, queue, headers, GOALS[kind]))
        with ExitStack() as peers:
            gthread = peers.enter_context(_api(stack, GUNICORNS))
            ways.append(Way("the first again, below gunicorn's own gthread", gthread, ways[0].queue, gthread.headers()))
            if peer:
                theirs = peers.enter_context(zaqar.zaqar(peer, redis.removesuffix("/0")))
                ways.append(Way("the first again, Zaqar's below gthread", theirs, zaqar.QUEUE, theirs.headers()))
            posts = _posts(ways, bool(peer))
        return posts + _idle(api)


def _posts(ways: list[Way], with_peer: bool) -> list[tuple[str, str, str, bool]]:
    spent = _in_turns(ways)
    pace = spent[-1] / ZAQAR_MS if with_peer else 1.0
    found = []
    for way, ms in zip(ways, spent, strict=True):
        goal, met = "", True
        if way.goal:
            most = way.goal * pace
            goal, met = f"<= {most:.2f}", ms <= most
            if with_peer:
                goal += f" ({way.goal / ZAQAR_MS:.2f} of Zaqar's)"
        found.append((f"{way.what}, CPU ms", f"{ms:.2f}", goal, met))
    return found


def _in_turns(ways: list[Way]) -> list[float]:
    """CPU milliseconds for one post each way; the least of some series."""
    spent: list[list[float]] = [[] for _ in ways]
    for _ in range(SERIES + 1):
        for way, series in zip(ways, spent, strict=True):
            series.append(_post(way))
    return [min(series[1:]) for series in spent]


def _post(way: Way) -> float:
    """For one of some posts, one after another on one connection."""
    connection, before = way.server.connect(), way.server.cpu()
    for _ in range(POSTS):
        ask(connection, way.headers, "POST", f"/v2/queues/{way.queue}/messages", MESSAGE)
    spent = (way.server.cpu() - before) / POSTS
    connection.close()
    return spent


def _idle(api: Server) -> list[tuple[str, str, str, bool]]:
    """Who waits shares one look at the stores every fifteen seconds, however many they are; so one more of them is what is held to the goal."""
    alone = _per_minute(api)
    few, many = WAITERS
    whole = {waiters: _wait(api, waiters) for waiters in WAITERS}
    each = (whole[many] - whole[few]) / (many - few)
    return [
        ("a minute in which nobody asks, CPU ms", f"{alone:.1f}", "<= 60", alone <= 60),
        *((f"a minute in which {waiters} wait for a message, CPU ms", f"{ms:.1f}", "", True) for waiters, ms in whole.items()),
        ("a minute of one more who waits, CPU ms", f"{each:.2f}", "<= 1", each <= 1),
    ]


@contextmanager
def _api(stack: Stack, worker_class: str) -> Iterator[Server]:
    """An API process of its own on the stack's database, with threads enough for many that wait."""
    conf = configparser.ConfigParser(interpolation=None)
    conf.read(stack.state / "coffer.conf")
    conf["api"]["threads"] = str(max(WAITERS) + 10)
    conf["messaging"] = {"max_waiters": str(max(WAITERS))}
    path = stack.state / "bench.conf"
    with path.open("w") as f:
        conf.write(f)
    server = Server(0, "127.0.0.1", free_port(), {"X-Auth-Token": sign_in(stack.state, "coffer-admin")[0]})
    bind = ("--bind", f"{server.host}:{server.port}", "--log-level", "warning", "--no-control-socket")
    serve = ("--worker-class", worker_class, "--threads", conf["api"]["threads"], "--keep-alive", "30")
    command = [sys.executable, "-m", "gunicorn", *bind, *serve, "api.app:from_config()"]
    with (stack.state / "log" / f"bench-{worker_class}.log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, "COFFER_CONFIG": str(path)}, stderr=log)
    try:
        await_answer(server)
        yield replace(server, pid=process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _make_queue(api: Server, kind: str, uri: str) -> str:
    """In a pool of its own of that kind."""
    connection, queue = api.connect(), f"bench-{kind}"
    ask(connection, api.headers(), "PUT", f"/v2/pools/{kind}", {"uri": uri, "weight": 100})
    ask(connection, api.headers(), "PUT", f"/v2/flavors/{kind}", {"pool_list": [kind]})
    ask(connection, api.headers(), "PUT", f"/v2/queues/{queue}", {"_flavor": kind})
    connection.close()
    return queue


def _signed(api: Server, queue: str) -> dict[str, str]:
    connection = api.connect()
    made = ask(connection, api.headers(), "POST", f"/v2/queues/{queue}/share", {"paths": ["messages"], "methods": ["POST"]})
    connection.close()
    url = {"URL-Signature": made["signature"], "URL-Expires": made["expires"], "X-Project-ID": made["project"]}
    listed = {"URL-Methods": ",".join(made["methods"]), "URL-Paths": ",".join(made["paths"])}
    return {**url, **listed, "Client-ID": str(uuid.uuid4()), "Content-Type": "application/json"}


def _wait(api: Server, many: int) -> float:
    """CPU milliseconds of a minute in which so many wait, without their coming and going."""

    def claim(number: int) -> None:
        connection = api.connect()
        ask(connection, api.headers(), "POST", f"/v2/queues/bench-idle-{number}/claims?wait={SECONDS}")
        connection.close()

    connection = api.connect()
    for number in range(many):
        ask(connection, api.headers(), "PUT", f"/v2/queues/bench-idle-{number}", {"_flavor": "redis"})
    connection.close()
    with ThreadPoolExecutor(many) as pool:
        asked = [pool.submit(claim, number) for number in range(many)]
        time.sleep(5)
        together = _per_minute(api)
        for one in asked:
            one.result()
    return together


def _per_minute(api: Server) -> float:
    before, began = api.cpu(), time.monotonic()
    time.sleep(SECONDS - 10)
    return (api.cpu() - before) / (time.monotonic() - began) * 60
