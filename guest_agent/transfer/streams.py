"""A program's output into segments, and an object into a program's input.

Of what is sent one segment is in memory, once; of what is read a piece.
"""

import hashlib
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

from guest_agent.errors import TransferFailed
from guest_agent.transfer import web
from guest_agent.transfer.urls import DOWNLOAD, Urls

MOST_SEGMENTS = 1000
PATIENCE = 600.0
"""Seconds that one segment, or one stretch of a download, may take with all its attempts."""
STRETCH = 64 << 20
PAUSE_FIRST, PAUSE_LAST = 0.2, 10.0


@dataclass(frozen=True)
class Line:
    """Where to and how: `patience` in seconds."""

    urls: Urls
    ca_file: str | None = None
    patience: float = PATIENCE

    def attempt(self, number: int, request: Callable[[str], None], began: float) -> bool:
        """Whether it went well; False: it may the next time.  Raises TransferFailed when the time is over or nothing will help."""
        url = self.urls.wait(number, began + self.patience)
        try:
            request(url)
        except web.Failed as failure:
            if failure.refused:
                self.urls.refused(number, url)
            if not failure.passing or time.monotonic() > began + self.patience:
                raise TransferFailed(f"The object store: {failure}.") from None
            return False
        return True


def send(argv: Sequence[str], segment_size: int, line: Line, sent: Callable[[int], None]) -> dict[str, Any]:
    """What the program writes, as segments of `segment_size` bytes; `sent` is told how many are there.

    `{"size", "sha256", "segments": [{"size", "md5"}]}`.  Raises TransferFailed, also for a program that fails or writes nothing.
    """
    whole, segments, size = hashlib.sha256(), list[dict[str, Any]](), 0
    buffer = memoryview(bytearray(segment_size))
    with _running(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as program:
        assert program.stdout
        while filled := _fill(program.stdout, buffer):
            if len(segments) == MOST_SEGMENTS:
                raise TransferFailed(f"It is more than {MOST_SEGMENTS} segments of {segment_size} bytes.")
            segment = buffer[:filled]
            whole.update(segment)
            md5 = hashlib.md5(segment, usedforsecurity=False).hexdigest()
            number = len(segments) + 1
            _persist(line, number, partial(web.put, body=segment, md5=md5, ca_file=line.ca_file))
            segments.append({"size": filled, "md5": md5})
            size += filled
            line.urls.sent(number)
            sent(number)
    if not segments:
        raise TransferFailed(f"{argv[0]} has written nothing.")
    return {"size": size, "sha256": whole.hexdigest(), "segments": segments}


def receive(argv: Sequence[str], size: int, sha256: str, line: Line, received: Callable[[int], None]) -> bytes:
    """The object, of `size` bytes, into the program's input; what the program writes.  `received` is told how many bytes are through.

    The program sees the end of its input when all of it was there and right, and is killed otherwise.  What it makes counts when this
    returns and not before: should the agent itself be killed, it sees an end too.  Raises TransferFailed.
    """
    whole, position = hashlib.sha256(), 0
    with _running(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin
        assert program.stdout
        while position < size:
            stretch = _Stretch(program, whole, position, min(size, position + STRETCH), size)
            _persist(line, DOWNLOAD, partial(stretch.read, ca_file=line.ca_file))
            position = stretch.end
            received(position)
        if whole.hexdigest() != sha256:
            raise TransferFailed("The object's checksum is not the one that was announced.")
        program.stdin.close()
        return program.stdout.read()


@dataclass
class _Stretch:
    """So much is asked for at a time, and passed on piece by piece: an attempt goes on where the one before broke off."""

    program: "subprocess.Popen[bytes]"
    whole: Any
    position: int
    end: int
    size: int

    def read(self, url: str, ca_file: str | None) -> None:
        with web.get(url, self.position, self.end, self.size, ca_file) as answer:
            while self.position < self.end and (piece := answer.read(web.PIECE)):
                _feed(self.program, piece)
                self.whole.update(piece)
                self.position += len(piece)
        if self.position < self.end:
            raise web.Failed("an answer ended early")


def _persist(line: Line, number: int, request: Callable[[str], None]) -> None:
    began, pause, never = time.monotonic(), PAUSE_FIRST, threading.Event()
    while not line.attempt(number, request, began):
        never.wait(pause)
        pause = min(2 * pause, PAUSE_LAST)


def _fill(source: IO[bytes], buffer: memoryview) -> int:
    filled = 0
    while filled < len(buffer) and (count := source.readinto(buffer[filled:])):  # type: ignore[attr-defined]
        filled += count
    return filled


def _feed(program: "subprocess.Popen[bytes]", piece: bytes) -> None:
    assert program.stdin
    rest = memoryview(piece)
    try:
        while rest:
            rest = rest[program.stdin.write(rest) :]
    except BrokenPipeError:
        raise TransferFailed(f"The program ended before its input did, with status {program.wait()}.") from None


class _running:
    """A program without buffers of ours; killed when what goes on with it fails, and held to its exit status."""

    def __init__(self, argv: Sequence[str], stdin: int, stdout: int) -> None:
        self._argv = argv
        self._program: subprocess.Popen[bytes] = subprocess.Popen(
            argv, bufsize=0, stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> "subprocess.Popen[bytes]":
        return self._program

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._program.kill()
        status = self._program.wait()
        for stream in (self._program.stdin, self._program.stdout):
            if stream:
                stream.close()
        if kind is None and status != 0:
            raise TransferFailed(f"{self._argv[0]} ended with status {status}.")
