"""How the API's processes serve: `gunicorn --worker-class api.serving.Worker`.

Gunicorn's own threaded worker hands each request from one thread to another and back, and closes connections on the thread that all others
depend on, waiting for the other side.  Here every thread waits for events itself and answers what it finds: a request stays on one thread
from its first byte to its last, and the other threads sleep.  What a request is, and how it is answered, remains gunicorn's.

What a client asked and then hung up is not done: it has heard of nothing, and asks again.  So who was too slow for a while, with more clients
waiting than it can answer in their patience, answers those that still wait.

A connection is with one thread at a time: an event is given to one of them (EPOLLONESHOT), and armed anew only when that one is done.
"""

import contextlib
import os
import select
import socket
import threading
import time
from types import FrameType
from typing import Any

from gunicorn.http.errors import ParseException
from gunicorn.workers.base import Worker as BareWorker
from gunicorn.workers.gthread import TConn, ThreadWorker

GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
READABLE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT
LOOK_SECONDS = 1.0
"""Between two looks of the main thread: at its parent, and for connections that have been silent for too long."""
LINGER_SECONDS = 2.0
DRAIN_BYTES = 65536


class Connection(TConn):  # type: ignore[misc]
    """`ending`: all has been said; what is waited for is that the other side hangs up."""

    ending = False


class Worker(ThreadWorker):  # type: ignore[misc]
    def init_process(self) -> None:
        self._epoll = select.epoll()
        self._connections: set[Connection] = set()
        self._awaited: dict[int, Connection] = {}
        self._listeners: dict[int, Any] = {}
        self._full: list[Any] = []
        self._woken = threading.Event()
        self._end, self._ended = os.pipe()
        BareWorker.init_process(self)

    def run(self) -> None:
        self._epoll.register(self._end, select.EPOLLIN)
        for listener in self.sockets:
            listener.setblocking(False)
            self._listeners[listener.fileno()] = listener
            self._epoll.register(listener.fileno(), select.EPOLLIN | select.EPOLLONESHOT)
        for number in range(self.cfg.threads):
            threading.Thread(target=self._serve, name=f"serve-{number}", daemon=True).start()
        while self.alive and self.is_parent_alive():
            self.notify()
            self._woken.wait(LOOK_SECONDS)
            self._hang_up_on_the_silent()
            self._listen_again()
        self._stop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.alive = False
        self._woken.set()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        BareWorker.handle_quit(self, sig, frame)

    def _stop(self) -> None:
        """Nobody is let in any more; what has been begun is answered."""
        self.alive = False
        for descriptor, listener in self._listeners.items():
            self._epoll.unregister(descriptor)
            listener.close()
        end = time.monotonic() + self.cfg.graceful_timeout
        while len(self._connections) > len(self._awaited) and time.monotonic() < end:
            self.notify()
            self._woken.clear()
            self._woken.wait(0.05)
        os.write(self._ended, b"x")

    def _serve(self) -> None:
        while True:
            for descriptor, events in self._epoll.poll(maxevents=1):
                if descriptor == self._end:
                    return
                if listener := self._listeners.get(descriptor):
                    self._accept(listener)
                elif connection := self._awaited.pop(descriptor, None):
                    self._attend(connection, gone=bool(events & GONE))

    def _accept(self, listener: Any) -> None:
        if len(self._connections) >= self.worker_connections:
            self._full.append(listener)
            self._listen_again()
            return
        try:
            theirs, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            self._listen(listener)
            return
        except OSError as e:
            if self.alive:
                self.log.error("No connection can be accepted for now: %s", e)
                self._full.append(listener)
            return
        self._listen(listener)
        connection = Connection(self.cfg, theirs, address, listener.getsockname())
        connection.timeout = time.monotonic() + max(self.cfg.keepalive, LINGER_SECONDS)
        self._connections.add(connection)
        self._awaited[theirs.fileno()] = connection
        self._epoll.register(theirs.fileno(), READABLE)

    def _attend(self, connection: Connection, *, gone: bool) -> None:
        keep = False
        try:
            if not connection.ending and not gone:
                connection.data_ready = True
                keep = self.handle(connection) is True
                while keep and connection.parser.unreader.buf.getvalue():
                    keep = self.handle(connection) is True
        except Exception:
            self.log.exception("A connection is given up")
        if keep and self.alive:
            connection.timeout = time.monotonic() + self.cfg.keepalive
            self._await(connection)
        else:
            self._close(connection, gone=gone)

    def _close(self, connection: Connection, *, gone: bool) -> None:
        """Unless all has been said on both sides, let the other one hang up first, or what it has not read yet might be lost."""
        if not gone and not connection.ending and not _is_over(connection) and self._goes_on(connection.sock):
            connection.ending, connection.timeout = True, time.monotonic() + LINGER_SECONDS
            self._await(connection)
            return
        connection.close()
        self._connections.discard(connection)
        if self.alive:
            self._listen_again()
        else:
            self._woken.set()

    def _goes_on(self, sock: socket.socket) -> bool:
        """Whether the other side has not hung up yet, or has not been heard to."""
        try:
            sock.setblocking(False)
            sock.shutdown(socket.SHUT_WR)
            return bool(sock.recv(DRAIN_BYTES))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def _await(self, connection: Connection) -> None:
        descriptor = connection.sock.fileno()
        self._awaited[descriptor] = connection
        self._epoll.modify(descriptor, READABLE)

    def _hang_up_on_the_silent(self) -> None:
        """Only shut down: the thread that this wakes closes it, so no descriptor changes hands here."""
        now = time.monotonic()
        for connection in list(self._awaited.values()):
            if connection.timeout <= now:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def _listen(self, listener: Any) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._epoll.modify(listener.fileno(), select.EPOLLIN | select.EPOLLONESHOT)

    def _listen_again(self) -> None:
        while self._full and len(self._connections) < self.worker_connections:
            with contextlib.suppress(IndexError):
                self._listen(self._full.pop())


def _is_over(connection: Connection) -> bool:
    """Whether the client itself asked for the end after its request, and that has been read to its end."""
    request = connection.parser.mesg if connection.parser else None
    if request is None or not request.should_close():
        return False
    try:
        connection.sock.setblocking(False)
        return not request.body.read(1)
    except (OSError, ParseException):
        return False
