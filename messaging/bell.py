"""Telling every process of this deployment on this machine that a queue may have something new.

Each process that waits has a Unix datagram socket in a directory that all of them know; whoever posts sends the queue's name to each.
A ring may be lost (another machine, a full socket): who waits looks by itself from time to time.
A process takes its socket away when it ends, and the last one the directory; what those that were killed have left goes with the next to listen.
"""

import atexit
import contextlib
import os
import secrets
import socket
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from security.keyring import Keyring

log = structlog.get_logger(__name__)

Heard = Callable[[str, str], None]

NAME = "coffer-bell-{user}-{key}"
BINDS = 5
"""Whoever leaves may take the directory away just before somebody else's socket is there."""


def meeting_place(keyring: Keyring, purpose: str = "messaging-bell") -> Path:
    """The same for all processes with this keyring; short, as paths of sockets must be.  Each purpose has its own."""
    return Path(tempfile.gettempdir()) / NAME.format(user=os.getuid(), key=keyring.derive(purpose).hex()[:12])


def sweep(parent: Path | None = None) -> None:
    """Remove the meeting places of our user that nobody listens at."""
    for directory in (parent or Path(tempfile.gettempdir())).glob(NAME.format(user=os.getuid(), key="*")):
        with contextlib.suppress(OSError):  # somebody else's, or gone, or in use
            for path in directory.iterdir():
                if _is_deaf(path):
                    path.unlink(missing_ok=True)
            directory.rmdir()


class Bell:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._name = ""
        self._pid = 0
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def listen(self, heard: Heard) -> None:
        """From now on `heard` is called with project and queue, by a thread of its own.  Repeating it changes nothing."""
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            sweep(self._directory.parent)
            try:
                ear = self._bind()
            except OSError as e:
                log.warning("other processes cannot be heard; messages they take in are found later", reason=str(e))
                return
        atexit.register(self._leave)
        threading.Thread(target=_hear, args=(ear, heard), name="bell", daemon=True).start()

    def ring(self, project: str, queue: str) -> None:
        """To every process but this one."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._directory):  # noqa: PTH208  (as posts are many, and paths not cheap)
                if name != self._name:
                    self._send(f"{self._directory}/{name}", f"{project}\n{queue}".encode())

    def close(self) -> None:
        self._leave()
        self._sender.close()

    def _leave(self) -> None:
        if self._name and self._pid == os.getpid():
            (self._directory / self._name).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # others listen, or have taken it away
                self._directory.rmdir()

    def _bind(self) -> socket.socket:
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._name = f"{os.getpid()}-{secrets.token_hex(3)}"
        for tries_left in reversed(range(BINDS)):
            try:
                self._enter()
                ear.bind(f"{self._directory}/{self._name}")
                break
            except FileNotFoundError:
                if not tries_left:
                    raise
        return ear

    def _enter(self) -> None:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        there = self._directory.lstat()
        if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.getuid() or there.st_mode & 0o077:
            raise PermissionError(f"{self._directory} is not ours alone")

    def _send(self, path: str, text: bytes) -> None:
        try:
            self._sender.sendto(text, path)
        except ConnectionRefusedError:
            # Nobody has it open any more: its process was killed.
            Path(path).unlink(missing_ok=True)
        except (FileNotFoundError, BlockingIOError):
            return


def _is_deaf(path: Path) -> bool:
    """Whether it is a socket that nobody has open any more.  Nothing is sent."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return path.is_socket()
        except OSError:
            return False
    return False


def _hear(ear: socket.socket, heard: Heard) -> None:
    while True:
        text = ear.recv(1024)
        project, _, queue = text.decode(errors="replace").partition("\n")
        heard(project, queue)
