"""Single requests of an object store.  Errors name host and port, and never the URL: it is a secret."""

import contextlib
import http.client
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from guest_agent.telemetry.addresses import PORTS, parts_of

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 60.0
"""For so long the other side may be silent, or take in nothing."""
PIECE = 1 << 18
REFUSED = (401, 403)
PASSING = frozenset({408, 409, 422, 425, 429, 498, 499, *range(500, 600)})
"""Of an answer: what may be another the next time.  422: what arrived was not what was sent."""


class Failed(Exception):
    """`passing`: worth another attempt; `refused`: with another URL only."""

    def __init__(self, message: str, *, passing: bool = True, refused: bool = False) -> None:
        super().__init__(message)
        self.passing, self.refused = passing, refused


@dataclass(frozen=True)
class Site:
    host: str
    port: int

    def failed(self, error: Exception) -> Failed:
        # Not the error's words: they may quote what the other side has sent.
        return Failed(f"{self.host}:{self.port}: {type(error).__name__}")

    def check(self, status: int, wanted: int) -> None:
        if status != wanted:
            refused = status in REFUSED
            raise Failed(f"{self.host}:{self.port} answers {status}", passing=refused or status in PASSING, refused=refused)


def put(url: str, body: memoryview, md5: str, ca_file: str | None = None) -> None:
    """Raises Failed unless all of it is there."""
    with _connected(url, ca_file) as (connection, target, site):
        headers = {"Content-Length": str(len(body)), "ETag": md5, "Content-Type": "application/octet-stream"}
        _begin(connection, "PUT", target, headers)
        broken: OSError | None = None
        try:
            for start in range(0, len(body), PIECE):
                connection.send(body[start : start + PIECE])
        except OSError as error:
            broken = error  # it may have said why before it closed
        try:
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            if broken:
                raise broken from None
            raise
        site.check(status, 201)


@contextlib.contextmanager
def get(url: str, begin: int, end: int, size: int, ca_file: str | None = None) -> Iterator[http.client.HTTPResponse]:
    """An answer that has these bytes of an object of `size`; `end` is the first behind them.  Raises Failed."""
    with _connected(url, ca_file) as (connection, target, site):
        _begin(connection, "GET", target, {"Range": f"bytes={begin}-{end - 1}"})
        answer = connection.getresponse()
        site.check(answer.status, 206)
        if answer.headers.get("Content-Range") != f"bytes {begin}-{end - 1}/{size}":
            raise Failed(f"{site.host}:{site.port} has another object", passing=False)
        yield answer


@contextlib.contextmanager
def _connected(url: str, ca_file: str | None) -> Iterator[tuple[http.client.HTTPConnection, str, Site]]:
    """No proxy is asked and no redirect followed."""
    scheme, host, port, target = parts_of(url)
    site = Site(host, port)
    try:
        plain = socket.create_connection((host, port), CONNECT_SECONDS)
        with plain, _secured(plain, host, ca_file) if scheme == "https" else plain as connected:
            connected.settimeout(IDLE_SECONDS)
            connection = http.client.HTTPConnection(host, port)
            connection.default_port = PORTS[scheme]
            connection.auto_open = 0
            connection.sock = connected
            yield connection, target, site
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise site.failed(error) from None


def _begin(connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str]) -> None:
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in {**headers, "Connection": "close"}.items():
        connection.putheader(name, value)
    connection.endheaders()


def _secured(plain: socket.socket, host: str, ca_file: str | None) -> socket.socket:
    import ssl  # Not for those who speak in the clear: it takes memory.

    return ssl.create_default_context(cafile=ca_file).wrap_socket(plain, server_hostname=host)
