"""An archive on its way here, in pieces, over any number of connections: known by its digest, whole when that is right."""

import base64
import binascii
import hashlib
import os
import re
import threading
from pathlib import Path
from typing import Any

from guest_agent import fields
from guest_agent.errors import InvalidRequest
from guest_agent.files import sync_directory

SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
LARGEST_ARCHIVE = 16 << 20


class Incoming:
    """At most one archive lies here: the first piece of another one throws it away."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()

    def receive(self, params: dict[str, Any]) -> dict[str, Any]:
        """Method `agent.receive`: a piece at `offset`; what is not the next piece is not taken.  Tells how much is here."""
        taken = fields.take(
            params,
            "params",
            {"sha256": sha256, "size": fields.integer(1, LARGEST_ARCHIVE)},
            {"offset": fields.integer(0, LARGEST_ARCHIVE), "data": _base64},
        )
        with self._lock:
            received = self._take(taken["sha256"], taken["size"], taken["offset"] or 0, taken["data"] or b"")
        return {"received": received}

    def whole(self, digest: str) -> Path:
        """The archive with this digest.  Raises InvalidRequest when it is not here."""
        path = self._directory / digest
        if not path.exists():
            raise InvalidRequest("The archive has not been received whole: send it with agent.receive first.")
        return path

    def clear(self) -> None:
        with self._lock:
            self._remove_but()

    def _take(self, digest: str, size: int, offset: int, piece: bytes) -> int:
        whole, part = self._directory / digest, self._directory / f"{digest}.part"
        if whole.exists():
            return size
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._remove_but(part)
        received = part.stat().st_size if part.exists() else 0
        if piece and offset == received and offset + len(piece) <= size:
            with part.open("ab") as file:
                file.write(piece)
            received += len(piece)
        if received == size:
            self._finish(part, whole)
        return received

    def _finish(self, part: Path, whole: Path) -> None:
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != whole.name:
                part.unlink()
                raise InvalidRequest("What was received has another digest: send it again from the beginning.")
            os.fsync(file.fileno())
        part.rename(whole)
        sync_directory(str(self._directory))

    def _remove_but(self, kept: Path | None = None) -> None:
        for path in self._directory.glob("*"):
            if path != kept:
                path.unlink(missing_ok=True)


def sha256(value: object, where: str) -> str:
    if not isinstance(value, str) or not SHA256.fullmatch(value):
        raise InvalidRequest(f"{where} is not a SHA-256 digest in lower-case hexadecimal.")
    return value


def _base64(value: object, where: str) -> bytes:
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"{where} is not base64.") from None
    raise InvalidRequest(f"{where} is not a string.")
