"""The receiving end of telemetry: a real HTTP server on loopback that remembers what it was sent."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SIGNATURE = "k1-0-5ec2e7"


@dataclass(frozen=True)
class Post:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float

    @property
    def report(self) -> dict[str, Any]:
        [message] = self.body["messages"]
        report: dict[str, Any] = message["body"]
        return report

    @property
    def order(self) -> tuple[int, int]:
        return self.report["epoch"], self.report["number"]


Answer = Callable[[BaseHTTPRequestHandler, Post], None]


def taken_in(handler: BaseHTTPRequestHandler, post: Post, **more: Any) -> None:
    say(handler, 201, json.dumps({"resources": ["/v2/queues/q/messages/1"], **more}).encode())


def refused(status: int, **headers: str) -> Answer:
    return lambda handler, post: say(handler, status, b'{"title": "no"}', **headers)


def say(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


class Receiver:
    """Listens from `open` to `close`, always at the same port. `answer` may be changed at any time."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.answer: Answer = taken_in
        self.address = ("127.0.0.1", 0)
        self._changed = threading.Condition()
        self._server: ThreadingHTTPServer | None = None
        self.open()

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    def post_to(self, queue: str = "guest-1", expires: str = "2030-01-31T12:00:00", signature: str = SIGNATURE) -> dict[str, str]:
        return {
            "url": f"{self.url}/messaging/v2/queues/{queue}/messages",
            "project": "services",
            "paths": f"/v2/queues/{queue}/messages",
            "methods": "POST",
            "expires": expires,
            "signature": signature,
        }

    def telemetry(self, period: float = 0.3, **changes: Any) -> dict[str, Any]:
        return {"post_to": self.post_to(**changes), "period": period}

    def open(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver._take(self, Post(self.path, dict(self.headers.items()), body, time.monotonic()))

            def log_message(self, *_: object) -> None:
                """Nothing: the posts themselves are kept."""

        self._server = ThreadingHTTPServer(self.address, Handler)
        self._server.daemon_threads = True
        self.address = ("127.0.0.1", self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _take(self, handler: BaseHTTPRequestHandler, post: Post) -> None:
        with self._changed:
            self.posts.append(post)
            self._changed.notify_all()
        try:
            self.answer(handler, post)
        except (BrokenPipeError, ConnectionResetError):
            # The guest has heard enough.
            handler.close_connection = True

    def wait(self, wanted: Callable[[Post], Any], after: int = 0, timeout: float = 20) -> Post:
        """The first post of this kind among those behind the first `after`."""
        found: list[Post] = []

        def has_come() -> bool:
            found[:] = [post for post in self.posts[after:] if wanted(post)]
            return bool(found)

        with self._changed:
            if not self._changed.wait_for(has_come, timeout):
                raise TimeoutError(f"none such among {[post.report for post in self.posts[after:]]}")
        return found[0]

    def orders(self) -> list[tuple[int, int]]:
        return [post.order for post in self.posts]


def engine_is(state: str) -> Callable[[Post], bool]:
    return lambda post: bool(post.report["engine"]["state"] == state)


def because(reason: str) -> Callable[[Post], bool]:
    return lambda post: bool(post.report["reason"] == reason)


@contextmanager
def open_receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()
