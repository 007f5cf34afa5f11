"""The HTTP side of the embedded object store: what a temporary URL permits, and nothing else.

Every worker of a state directory serves it, at one address: the kernel spreads connections over them (SO_REUSEPORT).
"""

import contextlib
import hashlib
import os
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from clouds.local.objects import ACCOUNT, CHUNK, PORT, Container, address_of
from clouds.objects import path_of
from clouds.tempurl import permits

PATIENCE = 60.0
_TARGET = re.compile(re.escape(ACCOUNT) + r"/([A-Za-z0-9-]{1,64})/((?:objects|segments)/.+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True)
class _Piece:
    """Part of a segment's file."""

    path: Path
    begin: int
    size: int


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    root: Path

    def do_PUT(self) -> None:
        target = self._permitted()
        if target is None:
            return
        container, name = target
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            self._say(411)
            return
        draft = container.draft(name)
        try:
            status, headers = self._take_in(draft, container.file(name), int(length))
        finally:
            draft.unlink(missing_ok=True)
        self._say(status, headers)  # last: who hears that it failed finds nothing of it

    def _take_in(self, draft: Path, final: Path, length: int) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer."""
        try:
            digest = self._receive(draft, length)
            if digest is None:
                return 499, {}
            if digest != self.headers.get("ETag", digest).strip('"'):
                return 422, {}
            draft.replace(final)
            return 201, {"ETag": digest}
        except FileNotFoundError:  # the object was committed or removed meanwhile
            return 409, {}

    def do_GET(self) -> None:
        target = self._permitted()
        if target is None:
            return
        container, name = target
        manifest = container.manifest(name) if name.startswith("objects/") else None
        if manifest is None:
            self._say(404)
            return
        size = sum(segment["size"] for segment in manifest["segments"])
        wanted = _wanted(self.headers.get("Range", ""), size)
        if wanted is None:
            self._say(416, {"Content-Range": f"bytes */{size}"})
            return
        pieces = list(_pieces(container, manifest["segments"], *wanted))
        if any(not piece.path.exists() for piece in pieces):
            self._say(409)
            return
        partial = {"Content-Range": f"bytes {wanted[0]}-{wanted[1] - 1}/{size}"} if self.headers.get("Range") else {}
        self._begin(206 if partial else 200, wanted[1] - wanted[0], partial)
        if self.command == "GET":
            self._send(pieces)

    do_HEAD = do_GET

    def _permitted(self) -> tuple[Container, str] | None:
        asked = urlsplit(self.path)
        path = unquote(asked.path)
        found = _TARGET.fullmatch(path)
        container = Container(self.root / found[1]) if found else None
        keys = container.signers() if container else []
        if not found or not container or path_of(found[2]) is None or ".." in path.split("/"):
            self._say(401)
            return None
        if not permits(asked.query, self.command, path, keys, str(self.client_address[0])):
            self._say(401)
            return None
        return container, found[2]

    def _receive(self, draft: Path, length: int) -> str | None:
        """The MD5 of all that was announced; None when less came."""
        digest = hashlib.md5(usedforsecurity=False)
        with draft.open("wb") as file:
            while length and (piece := self.rfile.read(min(length, CHUNK))):
                digest.update(piece)
                file.write(piece)
                length -= len(piece)
            file.flush()
            os.fsync(file.fileno())
        return None if length else digest.hexdigest()

    def _send(self, pieces: list[_Piece]) -> None:
        for piece in pieces:
            with piece.path.open("rb") as file:
                self.connection.settimeout(PATIENCE)
                if self.connection.sendfile(file, piece.begin, piece.size) != piece.size:
                    self.close_connection = True
                    return

    def _say(self, status: int, headers: dict[str, str] | None = None) -> None:
        if status >= 400:
            self.close_connection = True  # the rest of a body may still be on its way
        self._begin(status, 0, headers or {})

    def _begin(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(length), "Accept-Ranges": "bytes"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: the request line is a secret."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away; it will come again."""


def _wanted(header: str, size: int) -> tuple[int, int] | None:
    """Begin and end of what is asked for; None: not within it."""
    if not header:
        return 0, size
    asked = _RANGE.fullmatch(header)
    if not asked or int(asked[1]) >= size:
        return None
    return int(asked[1]), min(size, int(asked[2]) + 1) if asked[2] else size


def _pieces(container: Container, segments: list[dict[str, object]], begin: int, end: int) -> Iterator[_Piece]:
    start = 0
    for segment in segments:
        size = int(str(segment["size"]))
        low, high = max(begin, start), min(end, start + size)
        if low < high:
            yield _Piece(container.file(str(segment["name"])), low - start, high - low)
        start += size


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[str]:
    """Serves the state directory's objects meanwhile; gives where."""
    handler = type("Handler", (_Handler,), {"root": directory.resolve() / "objects"})
    server = _Server((address_of(directory), PORT), handler)
    thread = threading.Thread(target=server.serve_forever, name="objects", daemon=True)
    thread.start()
    try:
        yield f"http://{address_of(directory)}:{PORT}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
