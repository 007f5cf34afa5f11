"""A private Redis server for tests, which can be killed and started again on what it had written.

A server dies with the thread that started it, so start one from the main thread (a session fixture does).
"""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from tests.support.databases import START_SECONDS, _become, _directory, _free_endpoint

OWNER = "redis"
DATABASES = 10_000  # one for each store that a run of the tests asks for


class RedisServer:
    """`appendfsync always`: what has been acknowledged is on the disk."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._host, self._port = _free_endpoint()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{self._host}:{self._port}/0"

    def start(self) -> None:
        settings = {
            "bind": self._host,
            "port": self._port,
            "dir": self._home,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "daemonize": "no",
            "databases": DATABASES,
        }
        options = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
        command = ["setpriv", "--pdeathsig", "KILL", *_become(OWNER), "redis-server", *options]
        with (self._home / "log").open("ab") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=self._home)
        self._await_answer()

    def kill(self) -> None:
        """As a crash would end it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    assert self._process is not None
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        log = (self._home / "log").read_text(errors="replace")[-4000:]
                        raise RuntimeError(f"Redis gives no answer:\n{log}") from None
                time.sleep(0.05)


@contextlib.contextmanager
def redis_server() -> Iterator[RedisServer]:
    with _directory("crd-", OWNER) as home:
        server = RedisServer(home)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def redis_url() -> Iterator[str]:
    with redis_server() as server:
        yield server.url
