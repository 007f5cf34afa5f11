"""An HTTP proxy in front of real services that delays them, loses their answers, or answers in their place.

Clients find it as `http_proxy`: the services' own catalog stays as it is, and nobody knows that the proxy is there.
"""

import http.client
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "upgrade"})
PATIENCE = 60.0


@dataclass
class Fault:
    """For the next `times` requests of this method whose path matches.

    `status`: answer with it, `headers` and `body`, and do not ask the service.  `lost`: the service does its work, the client hears nothing.
    `delay`: seconds to wait before the service is asked.
    """

    method: str
    path: str
    times: int = 1
    status: int = 0
    body: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False
    delay: float = 0.0
    struck: int = 0


class FaultProxy:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._calls: list[str] = []
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def inject(self, *faults: Fault) -> None:
        with self._lock:
            self._faults += faults

    def calls(self) -> list[str]:
        """Every request so far, as method and path."""
        with self._lock:
            return list(self._calls)

    def strike(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets."""
        with self._lock:
            self._calls.append(f"{method} {path}")
            for fault in self._faults:
                if fault.struck < fault.times and fault.method == method and re.search(fault.path, path):
                    fault.struck += 1
                    return fault
        return None

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    owner: FaultProxy
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        target = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.owner.strike(self.command, target.path)
        if fault and fault.delay:
            self.owner.closing.wait(fault.delay)
        if fault and fault.status:
            self._answer(fault.status, dict(fault.headers), json.dumps(fault.body).encode())
            return
        status, headers, content = self._ask(body)
        if fault and fault.lost:
            self.close_connection = True
            return
        self._answer(status, headers, content)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _serve

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        target = urlsplit(self.path)
        path = f"{target.path}?{target.query}" if target.query else target.path
        sent = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        service = http.client.HTTPConnection(target.hostname or "", target.port, timeout=PATIENCE)
        try:
            service.request(self.command, path, body, sent)
            answer = service.getresponse()
            content = answer.read()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
            return answer.status, headers, content
        finally:
            service.close()

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """What happened is in FaultProxy.calls."""


@contextmanager
def fault_proxy() -> Iterator[FaultProxy]:
    proxy = FaultProxy()
    try:
        yield proxy
    finally:
        proxy.close()
