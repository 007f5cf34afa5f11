"""Connections to guests, kept open between calls and shared by threads.

One connection per endpoint, a few channels on each.  Nothing runs in the background: idle connections are closed when the
pool is next used, and each open one costs the SSH library's one thread.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import paramiko

from guests.client import ChannelClient, GuestClient, Result
from guests.errors import GuestError, GuestUnreachable
from guests.transport import Deadline, Endpoint, dial, open_channel

CLOSE_SECONDS = 2.0


class GuestPool:
    def __init__(self, max_connections: int = 64, idle_seconds: float = 60.0, channels_per_connection: int = 4) -> None:
        self._max_connections = max_connections
        self._idle_seconds = idle_seconds
        self._channels_per_connection = channels_per_connection
        self._connections: dict[Endpoint, _Connection] = {}
        self._retired: set[_Connection] = set()
        self._changed = threading.Condition()
        self._closed = False

    @contextlib.contextmanager
    def connected(self, endpoint: Endpoint) -> Iterator[GuestClient]:
        """A client for one thread.  Nothing is dialled before its first call, whose deadline covers that too."""
        client = _PooledClient(self, endpoint)
        try:
            yield client
        finally:
            client.release()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            connections = [*self._connections.values(), *self._retired]
            self._connections.clear()
            self._retired.clear()
            self._changed.notify_all()
        for connection in connections:
            connection.close()
        until = Deadline(CLOSE_SECONDS)
        for connection in connections:
            connection.join(until)

    def lease(self, endpoint: Endpoint, until: Deadline) -> "_Connection":
        """A place on the endpoint's connection, waiting for one to come free."""
        with self._changed:
            while True:
                if self._closed:
                    raise GuestUnreachable("the connection pool is closed")
                self._drop_idle_and_broken()
                connection = self._connections.get(endpoint)
                if connection is None and self._make_room():
                    connection = self._connections[endpoint] = _Connection(endpoint)
                if connection is not None and connection.users < self._channels_per_connection:
                    connection.users += 1
                    return connection
                if not self._changed.wait(until.remaining()):
                    raise GuestUnreachable(f"{endpoint}: all connections are busy")

    def give_back(self, connection: "_Connection", *, doubtful: bool) -> None:
        """A doubtful connection takes no new callers and is closed when its last one leaves."""
        with self._changed:
            connection.users -= 1
            connection.last_used = time.monotonic()
            if doubtful or connection in self._retired or not connection.alive():
                self._drop(connection)
            self._changed.notify_all()

    def _drop_idle_and_broken(self) -> None:
        oldest = time.monotonic() - self._idle_seconds
        for connection in list(self._connections.values()):
            idle = connection.users == 0 and connection.last_used < oldest
            if idle or (connection.dialled() and not connection.alive()):
                self._drop(connection)

    def _make_room(self) -> bool:
        if len(self._connections) + len(self._retired) < self._max_connections:
            return True
        unused = [connection for connection in self._connections.values() if connection.users == 0]
        if not unused:
            return False
        self._drop(min(unused, key=lambda connection: connection.last_used))
        return True

    def _drop(self, connection: "_Connection") -> None:
        """Out of use for new callers now, closed as soon as nobody uses it."""
        if self._connections.get(connection.endpoint) is connection:
            del self._connections[connection.endpoint]
        if connection.users:
            self._retired.add(connection)
        else:
            self._retired.discard(connection)
            connection.close()


class _Connection:
    """One transport and its channels.  `users` and `last_used` belong to the pool and its lock."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.users = 0
        self.last_used = time.monotonic()
        self._transport: paramiko.Transport | None = None
        self._dialling = threading.Lock()
        self._idle: list[ChannelClient] = []
        self._closed = False

    def dialled(self) -> bool:
        return self._transport is not None

    def alive(self) -> bool:
        return self._transport is not None and self._transport.is_active()

    def channel(self, until: Deadline) -> ChannelClient:
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread took the last one
                client = self._idle.pop()
                if client.usable():
                    return client
        return ChannelClient(open_channel(self._dialled(until), self.endpoint, until))

    def keep(self, client: ChannelClient) -> None:
        if client.usable():
            self._idle.append(client)

    def _dialled(self, until: Deadline) -> paramiko.Transport:
        if not self._dialling.acquire(timeout=until.remaining()):
            raise GuestUnreachable(f"{self.endpoint}: no answer in time")
        try:
            if self._transport is None:
                self._transport = dial(self.endpoint, until)
            if self._closed:
                self._transport.close()
                raise GuestUnreachable("the connection pool is closed")
            return self._transport
        finally:
            self._dialling.release()

    def close(self) -> None:
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    def join(self, until: Deadline) -> None:
        if self._transport is not None:
            self._transport.join(until.remaining())


class _PooledClient:
    """Holds a channel from its first call on; a connection found broken before a request went out is replaced once."""

    def __init__(self, pool: GuestPool, endpoint: Endpoint) -> None:
        self._pool = pool
        self._endpoint = endpoint
        self._connection: _Connection | None = None
        self._client: ChannelClient | None = None

    def call(self, method: str, params: dict[str, Any] | None = None, deadline: float = 10.0) -> Result:
        until = Deadline(deadline)
        connection = self._leased(until)
        was_dialled = connection.dialled()
        try:
            return self._call(connection, method, params, until)
        except GuestUnreachable as failure:
            if failure.sent or not was_dialled or until.passed():
                raise
        return self._call(self._leased(until), method, params, until)

    def _leased(self, until: Deadline) -> _Connection:
        if self._connection is None:
            self._connection = self._pool.lease(self._endpoint, until)
        return self._connection

    def _call(self, connection: _Connection, method: str, params: dict[str, Any] | None, until: Deadline) -> Result:
        try:
            if self._client is None or not self._client.usable():
                self._client = connection.channel(until)
            return self._client.call(method, params, until.remaining())
        except GuestError:
            raise
        except BaseException:
            self.release(broken=True, doubtful=until.passed())
            raise

    def release(self, *, broken: bool = False, doubtful: bool = False) -> None:
        (connection, client), self._connection, self._client = (self._connection, self._client), None, None
        if connection is None:
            return
        if client is not None and broken:
            client.close()
        elif client is not None:
            connection.keep(client)
        self._pool.give_back(connection, doubtful=doubtful)
