"""SSH to one guest: dialled with a deadline, its host key pinned, good for nothing but the subsystem `coffer-guest`."""

import contextlib
import io
import logging
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import paramiko

from guests.errors import GuestUnreachable, HostKeyMismatch

SUBSYSTEM = "coffer-guest"
KEEPALIVE_SECONDS = 15
STALLED_WRITE_SECONDS = 10
"""How long the kernel keeps unacknowledged or unwanted data before it gives the connection up."""

_LOG_CHANNEL = "coffer.guests.ssh"
# The library logs failures with tracebacks from its own thread; callers get each of them as an exception already.
logging.getLogger(_LOG_CHANNEL).setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Endpoint:
    """Where a guest answers, how it is recognised and how we prove ourselves to it."""

    instance_id: str
    address: str
    port: int
    private_key: str = field(repr=False)
    host_public_key: str = field(repr=False)
    username: str = "root"

    def __str__(self) -> str:
        return f"guest {self.instance_id} at {self.address}:{self.port}"


class Deadline:
    """A moment up to which a call and everything within it may wait."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        return max(0.0, self._at - time.monotonic())

    def passed(self) -> bool:
        return time.monotonic() >= self._at


def dial(endpoint: Endpoint, deadline: Deadline) -> paramiko.Transport:
    """An authenticated connection to exactly this guest."""
    connection = _connect(endpoint, deadline)
    try:
        transport = paramiko.Transport(connection)
    except BaseException:
        connection.close()
        raise
    try:
        with _closed_at(deadline, transport, endpoint):
            _handshake(transport, endpoint, deadline)
    except BaseException:
        transport.close()
        raise
    return transport


def open_channel(transport: paramiko.Transport, endpoint: Endpoint, deadline: Deadline) -> paramiko.Channel:
    """A new channel joined to the guest's agent."""
    with _closed_at(deadline, transport, endpoint):
        channel = transport.open_session(timeout=deadline.remaining())
        channel.invoke_subsystem(SUBSYSTEM)
    return channel


class _PromptSocket(socket.socket):
    """Acknowledges at once: sshd holds small packets back until the last one is acknowledged, which the kernel puts off by 40 ms."""

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        data = super().recv(bufsize, flags)
        with contextlib.suppress(OSError):  # closed by another thread: the next read says so
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


def _connect(endpoint: Endpoint, deadline: Deadline) -> socket.socket:
    if deadline.passed():
        raise GuestUnreachable(f"{endpoint}: no time left to connect")
    try:
        plain = socket.create_connection((endpoint.address, endpoint.port), timeout=deadline.remaining())
    except OSError as error:
        raise GuestUnreachable(f"{endpoint}: cannot connect: {error}") from error
    connection = _PromptSocket(fileno=plain.detach())
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_WRITE_SECONDS * 1000)
    return connection


def _handshake(transport: paramiko.Transport, endpoint: Endpoint, deadline: Deadline) -> None:
    transport.set_log_channel(_LOG_CHANNEL)
    limit = deadline.remaining() + 1
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = limit
    transport.clear_to_send_timeout = STALLED_WRITE_SECONDS
    options = transport.get_security_options()
    options.kex = ("curve25519-sha256@libssh.org",)
    options.key_types = ("ssh-ed25519",)
    options.ciphers = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
    transport.start_client(timeout=limit)
    presented = transport.get_remote_server_key()
    if [presented.get_name(), presented.get_base64()] != endpoint.host_public_key.split()[:2]:
        raise HostKeyMismatch(f"{endpoint}: the server presents another host key than the one it was given")
    transport.auth_publickey(endpoint.username, paramiko.Ed25519Key.from_private_key(io.StringIO(endpoint.private_key)))
    transport.set_keepalive(KEEPALIVE_SECONDS)


@contextlib.contextmanager
def _closed_at(deadline: Deadline, transport: paramiko.Transport, endpoint: Endpoint) -> Iterator[None]:
    """Closes the connection when the deadline passes inside the block: the one thing that ends every wait of the library."""
    guard = threading.Timer(deadline.remaining(), transport.close)
    guard.daemon = True
    guard.start()
    try:
        yield
    except (paramiko.SSHException, OSError, EOFError) as error:
        reason = "no answer in time" if deadline.passed() else f"{type(error).__name__}: {error}"
        raise GuestUnreachable(f"{endpoint}: {reason}") from error
    finally:
        guard.cancel()
        guard.join()
