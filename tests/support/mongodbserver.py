"""A MongoDB for tests: the one that COFFER_TEST_MONGODB names (a URI without database), otherwise a private server that speaks its
protocol and stores with its engine, SecantusDB, which can be killed and started again on what it had written.

A server dies with the thread that started it, so start one from the main thread (a session fixture does).
"""

import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pymongo
from pymongo.errors import ConnectionFailure

from tests.support.databases import START_SECONDS, _directory, _free_endpoint

OWNER = "nobody"
SCHEME = "mongodb"
GIVEN = os.environ.get("COFFER_TEST_MONGODB", "").rstrip("/")
PROGRAM = Path(sys.executable).with_name("secantusd-py")


class MongoServer:
    """What has been acknowledged is in its log file; with `sync` on the disk too."""

    def __init__(self, home: Path, *, sync: bool) -> None:
        self._home = home
        self._sync = ["--sync-on-commit"] if sync else []
        self._host, self._port = _free_endpoint()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{SCHEME}://{self._host}:{self._port}"

    def start(self) -> None:
        program = [str(PROGRAM), "--host", self._host, "--port", str(self._port)]
        settings = ["--storage-path", str(self._home / "data"), "--standalone", *self._sync]
        with (self._home / "log").open("ab") as output:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *program, *settings],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._home,
            )
        self._await_answer()

    def kill(self) -> None:
        """As a crash would end it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with pymongo.MongoClient[dict[str, object]](self.url, serverSelectionTimeoutMS=200) as client:
            while True:
                try:
                    client.admin.command("ping")
                    return
                except ConnectionFailure:
                    assert self._process is not None
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        log = (self._home / "log").read_text(errors="replace")[-4000:]
                        raise RuntimeError(f"The MongoDB gives no answer:\n{log}") from None


@contextlib.contextmanager
def mongodb_server(*, sync: bool) -> Iterator[MongoServer]:
    with _directory("cmg-", OWNER) as home:
        server = MongoServer(home, sync=sync)
        server.start()
        try:
            yield server
        finally:
            server.kill()


def available() -> bool:
    """There is no build of SecantusDB for every Python."""
    return bool(GIVEN) or PROGRAM.exists()


@contextlib.contextmanager
def mongodb_url() -> Iterator[str]:
    if GIVEN:
        yield GIVEN
        return
    with mongodb_server(sync=False) as server:
        yield server.url


@contextlib.contextmanager
def empty_mongodb(server: str) -> Iterator[str]:
    """The URI of a new database, dropped afterwards unless the server goes anyway."""
    name = f"coffer_{secrets.token_hex(4)}"
    base, question, options = server.partition("?")
    yield f"{base.rstrip('/')}/{name}{question}{options}"
    if GIVEN:
        with pymongo.MongoClient[dict[str, object]](server) as client:
            client.drop_database(name)
