"""The worker class that the API is served with, behind a real gunicorn."""

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.guest_agent.server import until

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
ASK = b"GET /%s HTTP/1.1\r\nHost: test\r\n%s\r\n"
CLOSE = b"Connection: close\r\n"


class Server:
    def __init__(self, log: Path, options: tuple[str, ...]) -> None:
        with socket.create_server((HOST, 0), backlog=256) as listening, log.open("w") as output:
            self.port = listening.getsockname()[1]
            serve = ["--bind", f"fd://{listening.fileno()}", "--worker-class", "api.serving.Worker", "--no-control-socket"]
            command = [sys.executable, "-m", "gunicorn", *serve, *options, "tests.support.plain_app:app"]
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=output, pass_fds=(listening.fileno(),))
        self.log = log

    def connect(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), timeout=15)

    def ask(self, path: str = "/", body: bytes = b"") -> bytes:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=15)
        connection.request("POST", path, body)
        answer = connection.getresponse()
        assert answer.status == 200
        said = answer.read()
        connection.close()
        return said

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(*options: str) -> Server:
            server = Server(tmp_path / "log", options)
            stack.callback(server.process.wait, 20)
            stack.callback(server.process.terminate)
            server.ask()
            return server

        yield start


def answer(connection: socket.socket) -> bytes:
    """The next answer on a connection, whole."""
    said = b""
    while b"\r\n\r\n" not in said:
        said += more(connection)
    head, _, body = said.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += more(connection)
    return head.split(b"\r\n")[0] + b" " + body


def more(connection: socket.socket) -> bytes:
    said = connection.recv(65536)
    if not said:
        raise ConnectionError("hung up")
    return said


def test_many_more_connections_than_threads_are_kept_and_served(serve: Serve) -> None:
    server = serve("--threads", "2", "--keep-alive", "30")
    with ExitStack() as open_ones:
        lines = [open_ones.enter_context(server.connect()) for _ in range(100)]
        for _ in range(3):
            for line in lines:
                line.sendall(ASK % (b"", b""))
            assert all(answer(line).startswith(b"HTTP/1.1 200 OK serve-") for line in lines)


def test_who_asks_for_the_end_and_does_not_hang_up_is_in_nobodys_way(serve: Serve) -> None:
    server = serve("--threads", "1")
    with ExitStack() as open_ones:
        lines = [open_ones.enter_context(server.connect()) for _ in range(20)]
        began = time.monotonic()
        for line in lines:
            line.sendall(ASK % (b"", CLOSE))
            assert answer(line)
        assert server.ask(body=b"me") == b"serve-0 me"
        assert time.monotonic() - began < 2
        assert {line.recv(1) for line in lines} == {b""}


def test_requests_sent_in_one_go_are_answered_in_order(serve: Serve) -> None:
    server = serve("--threads", "4", "--keep-alive", "30")
    with server.connect() as line:
        bodies = [b"one", b"two", b"three"]
        line.sendall(b"".join(ASK % (b"", b"Content-Length: %d\r\n" % len(body)) + body for body in bodies))
        said = b""
        while said.count(b"HTTP/1.1 200") < 3 or not said.endswith(b"three"):
            said += more(line)
    assert said.index(b" one") < said.index(b" two") < said.index(b" three")


def test_a_body_that_comes_in_pieces_is_whole(serve: Serve) -> None:
    server = serve("--threads", "2", "--keep-alive", "30")
    with server.connect() as line:
        line.sendall(ASK % (b"", b"Transfer-Encoding: chunked\r\n"))
        for _ in range(50):
            line.sendall(b"a\r\n0123456789\r\n")
        line.sendall(b"0\r\n\r\n")
        assert answer(line).endswith(b" " + b"0123456789" * 50)
        line.sendall(ASK % (b"", b""))
        assert answer(line).startswith(b"HTTP/1.1 200")


def test_a_silent_connection_is_ended(serve: Serve) -> None:
    server = serve("--threads", "2", "--keep-alive", "1")
    with server.connect() as used, server.connect() as unused:
        used.sendall(ASK % (b"", b""))
        assert answer(used)
        assert used.recv(1) == b""
        assert unused.recv(1) == b""


def test_what_is_no_request_or_breaks_the_application_takes_no_thread_away(serve: Serve) -> None:
    server = serve("--threads", "1", "--keep-alive", "30")
    for sent, status in ((b"no request\r\n\r\n", b"400"), (ASK % (b"break", b""), b"500")):
        with server.connect() as line:
            line.sendall(sent)
            assert line.recv(65536).split(b" ")[1] == status
    with server.connect() as line:
        line.sendall(b"GET")
    assert server.ask(body=b"still") == b"serve-0 still"


def test_beyond_the_limit_a_connection_waits_for_its_turn(serve: Serve) -> None:
    server = serve("--threads", "2", "--keep-alive", "30", "--worker-connections", "5")
    with ExitStack() as open_ones:
        lines = [open_ones.enter_context(server.connect()) for _ in range(5)]
        for line in lines:
            line.sendall(ASK % (b"", b""))
            assert answer(line)
        late = open_ones.enter_context(server.connect())
        late.sendall(ASK % (b"", b""))
        late.settimeout(1.5)
        with pytest.raises(TimeoutError):
            late.recv(1)
        lines[0].close()
        late.settimeout(15)
        assert answer(late).startswith(b"HTTP/1.1 200")


def test_what_nobody_waits_for_any_more_is_not_done(serve: Serve) -> None:
    """Or a server that was too slow for a while would go on to answer only those that have given up."""
    server = serve("--threads", "1", "--keep-alive", "30")
    with server.connect() as slow, server.connect() as patient:
        slow.sendall(ASK % (b"slow", b"Content-Length: 1\r\n"))
        for _ in range(20):
            with server.connect() as impatient:
                impatient.sendall(ASK % (b"given-up", b""))
        patient.sendall(ASK % (b"patient", b""))
        slow.sendall(b"x")
        assert answer(slow)
        assert answer(patient)
    assert server.ask("/asked") == b"serve-0 / /slow /patient /asked"


def test_one_that_is_told_to_stop_answers_what_was_asked(serve: Serve) -> None:
    server = serve("--threads", "2", "--keep-alive", "30", "--graceful-timeout", "15")
    with server.connect() as idle, server.connect() as releasing, ThreadPoolExecutor(1) as pool:
        idle.sendall(ASK % (b"", b""))
        assert answer(idle)
        held = pool.submit(server.ask, "/hold")
        releasing.sendall(ASK % (b"held", b""))
        assert answer(releasing)
        server.process.terminate()
        until(lambda: not _listens(server))
        assert not held.done()
        releasing.sendall(ASK % (b"release", b""))
        assert answer(releasing).startswith(b"HTTP/1.1 200")
        assert held.result(10).startswith(b"serve-")
    assert server.process.wait(10) == 0


def test_a_worker_does_not_outlive_its_master(serve: Serve) -> None:
    server = serve("--threads", "2")
    [worker] = server.workers()
    server.process.kill()
    server.process.wait(10)
    until(lambda: not _lives(worker))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def _listens(server: Server) -> bool:
    try:
        server.connect().close()
    except (ConnectionRefusedError, ConnectionResetError):  # the latter: it has stopped while this one was in its queue
        return False
    return True
