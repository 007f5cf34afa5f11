"""One post, and whatever may be at the other end of it."""

import datetime
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from guest_agent.telemetry import posting
from guest_agent.telemetry.posting import NotPosted, post

HEADERS = {"URL-Signature": "canary"}
CREATED = b"HTTP/1.1 201 Created\r\n"
BODY = b'{"messages": []}'


class Line:
    """The other end of one connection."""

    def __init__(self, connection: socket.socket, request: bytes, over: threading.Event) -> None:
        self.connection, self.request, self.over = connection, request, over

    def say(self, *words: bytes) -> None:
        for word in words:
            self.connection.sendall(word)

    def go_on(self, word: bytes, pause: float = 0.0) -> None:
        """Until the guest has enough of it."""
        while not self.over.wait(pause):
            self.connection.sendall(word)


Script = Callable[[Line], None]


@contextmanager
def other_end(script: Script, context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """Its port, and what it is asked; it acts as scripted on every connection."""
    requests: list[bytes] = []
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            connection, _ = listener.accept()
            with suppress(OSError), connection:
                connection = context.wrap_socket(connection, server_side=True) if context else connection
                with connection:
                    requests.append(read_request(connection))
                    script(Line(connection, requests[-1], over))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], requests
        finally:
            over.set()
            with suppress(OSError):
                socket.create_connection(listener.getsockname(), 1).close()
            thread.join(5)


def read_request(connection: socket.socket) -> bytes:
    request = b""
    while not request.endswith(BODY):
        received = connection.recv(65536)
        if not received:
            break
        request += received
    return request


def answered(body: bytes, **headers: str) -> Script:
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"Content-Length": str(len(body)), **headers}.items())
    return lambda line: line.say(CREATED, lines.encode(), b"\r\n", body)


def post_to(port: int, **options: Any) -> Any:
    return post(f"http://127.0.0.1:{port}/v2/queues/q/messages?a=b", HEADERS, BODY, **options)


def test_it_sends_what_it_is_given_and_gives_what_it_is_told() -> None:
    with other_end(answered(b'{"resources": ["x"]}')) as (port, requests):
        assert post_to(port) == {"resources": ["x"]}
    head = requests[0].partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert head[0] == "POST /v2/queues/q/messages?a=b HTTP/1.1"
    assert {f"Host: 127.0.0.1:{port}", "URL-Signature: canary", "Connection: close"} <= set(head)


def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with other_end(answered(b"{}")) as (port, _):
        assert post_to(port) == {}


@pytest.mark.parametrize(
    "script",
    [
        answered(b""),
        answered(b"not JSON"),
        answered(b"\xff\xfe"),
        answered(b"[" * 60_000),
        answered(b'{"post_to": {}', **{"Content-Length": "1000"}),
        answered(b'"' + b"x" * 1_000_000 + b'"'),
        answered(b"zz\r\n", **{"Content-Length": "", "Transfer-Encoding": "chunked"}),
        lambda line: (line.say(CREATED, b"Content-Length: 99999999999\r\n\r\n"), line.go_on(b"x" * 65536)),
        lambda line: (line.say(CREATED, b"\r\n"), line.go_on(b"x" * 65536)),
        lambda line: (line.say(CREATED, b"\r\n"), line.go_on(b"x", 0.05)),
        lambda line: (line.say(CREATED, b"Content-Length: 5\r\n\r\n{"), line.over.wait()),
        lambda line: (line.say(CREATED, b"Transfer-Encoding: chunked\r\n\r\n"), line.go_on(b"1\r\nx\r\n")),
    ],
)
def test_what_was_taken_in_stays_so_whatever_follows(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "TOTAL_SECONDS", 0.5)
    with other_end(script) as (port, _):
        began = time.monotonic()
        assert post_to(port) is None
        assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "script",
    [
        lambda line: None,
        lambda line: line.say(b"SSH-2.0-OpenSSH_9.2\r\n"),
        lambda line: line.say(b"HTTP/1.1 2001 Created\r\n\r\n"),
        lambda line: line.say(b"\x16\x03\x01" * 1000),
        lambda line: line.over.wait(),
        lambda line: line.go_on(b"x", 0.05),
        lambda line: line.go_on(b"x" * 65536),
        lambda line: line.go_on(b"HTTP/1.1 100 Continue\r\n\r\n"),
        lambda line: (line.say(CREATED), line.go_on(b"A: b\r\n")),
        lambda line: (line.say(CREATED), line.go_on(b"A", 0.05)),
        lambda line: (line.say(CREATED), line.go_on(b"A: " + b"b" * 60_000 + b"\r\n")),
    ],
)
def test_who_makes_no_sense_is_left_in_time(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "TOTAL_SECONDS", 0.5)
    with other_end(script) as (port, _):
        began = time.monotonic()
        with pytest.raises(NotPosted) as caught:
            post_to(port)
        assert time.monotonic() - began < 3
        assert caught.value.status is None
        assert str(caught.value).startswith(f"127.0.0.1:{port}: ")
        assert "canary" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307, 308, 400, 401, 403, 404, 413, 429, 500, 503])
def test_nothing_but_201_means_taken_in(status: int) -> None:
    with other_end(lambda line: line.say(b"HTTP/1.1 %d Words\r\nLocation: /elsewhere\r\n\r\n" % status)) as (port, requests):
        with pytest.raises(NotPosted) as caught:
            post_to(port)
        assert (caught.value.status, len(requests)) == (status, 1)
        assert str(caught.value) == f"127.0.0.1:{port} answers {status}"


@pytest.mark.parametrize("host", ["127.0.0.1:1", "x" * 300, "é..", "[::1]:1"])
def test_where_nobody_is_nothing_is_posted(host: str) -> None:
    with pytest.raises(NotPosted):
        post(f"http://{host}/q", HEADERS, BODY)


class Authority:
    """A certificate of its own for 127.0.0.1, and a server that shows it."""

    def __init__(self, directory: Path, address: str = "127.0.0.1") -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.ca_file = directory / f"{address}.pem"
        self.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file = directory / f"{address}.key"
        plain = serialization.NoEncryption()
        key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.ca_file, key_file)


def post_secured(port: int, ca_file: Path | None) -> Any:
    return post(f"https://127.0.0.1:{port}/q", HEADERS, BODY, str(ca_file) if ca_file else None)


def test_over_tls_only_to_who_is_certified(tmp_path: Path) -> None:
    authority, another = Authority(tmp_path), Authority(tmp_path, "127.0.0.2")
    with other_end(answered(json.dumps({"post_to": {}}).encode()), authority.context) as (port, requests):
        assert post_secured(port, authority.ca_file) == {"post_to": {}}
        for ca_file in (None, another.ca_file, tmp_path / "missing.pem"):
            with pytest.raises(NotPosted):
                post_secured(port, ca_file)
        assert len([request for request in requests if b"canary" in request]) == 1
    with other_end(answered(b"{}"), another.context) as (port, requests):
        with pytest.raises(NotPosted):
            post_secured(port, another.ca_file)
        assert requests == []


def test_a_slow_end_is_left_in_time_over_tls_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "TOTAL_SECONDS", 0.5)
    authority = Authority(tmp_path)
    with other_end(lambda line: line.go_on(b"x", 0.05), authority.context) as (port, _):
        began = time.monotonic()
        with pytest.raises(NotPosted):
            post_secured(port, authority.ca_file)
        assert time.monotonic() - began < 3
