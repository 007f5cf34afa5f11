"""The pool's bounds, with connections that only count."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from guests import pool as pool_module
from guests.errors import GuestError, GuestUnreachable
from guests.pool import GuestPool
from guests.transport import Deadline, Endpoint
from tests.support.local_guest import LocalGuest


class Wire:
    """Stands in for the network: transports and channels that answer as told, and how many there are."""

    def __init__(self) -> None:
        self.open: set[Transport] = set()
        self.dialled: list[str] = []
        self.most_open = 0
        self.most_channels = 0
        self.answer: Callable[[], dict[str, object]] = dict
        self.lock = threading.Lock()

    def dial(self, endpoint: Endpoint, _: Deadline) -> "Transport":
        with self.lock:
            self.dialled.append(endpoint.instance_id)
            transport = Transport(self)
            self.open.add(transport)
            self.most_open = max(self.most_open, len(self.open))
        return transport

    def open_channel(self, transport: "Transport", _: Endpoint, __: Deadline) -> "Channel":
        if not transport.is_active():
            raise GuestUnreachable("the connection is gone")
        with self.lock:
            transport.channels += 1
            self.most_channels = max(self.most_channels, transport.channels)
        return Channel(self, transport)


class Transport:
    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.channels = 0

    def is_active(self) -> bool:
        return self in self.wire.open

    def close(self) -> None:
        with self.wire.lock:
            self.wire.open.discard(self)

    def join(self, _: float) -> None:
        assert not self.is_active()


class Channel:
    """In place of ChannelClient."""

    def __init__(self, wire: Wire, transport: Transport) -> None:
        self.wire = wire
        self.transport = transport
        self.closed = False
        self.busy = threading.Lock()

    def usable(self) -> bool:
        return not self.closed and self.transport.is_active()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            with self.wire.lock:
                self.transport.channels -= 1

    def call(self, _: str, __: object, ___: float) -> dict[str, object]:
        assert self.busy.acquire(blocking=False), "two callers on one channel"
        try:
            return self.wire.answer()
        finally:
            self.busy.release()


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()
    monkeypatch.setattr(pool_module, "dial", wire.dial)
    monkeypatch.setattr(pool_module, "open_channel", wire.open_channel)
    monkeypatch.setattr(pool_module, "ChannelClient", lambda channel: channel)
    return wire


def endpoint(number: int = 0, key: str = "key") -> Endpoint:
    return Endpoint(f"guest-{number}", "127.0.0.1", 2222, key, "host key")


def call(pool: GuestPool, to: Endpoint, deadline: float = 5) -> dict[str, object]:
    with pool.connected(to) as client:
        return client.call("echo", deadline=deadline)


def in_threads(count: int, work: Callable[[int], object]) -> None:
    with ThreadPoolExecutor(count) as threads:
        list(threads.map(work, range(count)))


def test_a_connection_and_its_channel_are_used_again(wire: Wire) -> None:
    pool = GuestPool()
    for _ in range(10):
        call(pool, endpoint())
    assert wire.dialled == ["guest-0"]
    assert wire.most_channels == 1


def test_nothing_is_dialled_before_the_first_call(wire: Wire) -> None:
    with GuestPool().connected(endpoint()):
        assert wire.dialled == []


def test_another_key_gets_another_connection(wire: Wire) -> None:
    pool = GuestPool()
    call(pool, endpoint(key="one"))
    call(pool, endpoint(key="two"))
    assert len(wire.open) == 2


def test_the_bounds_hold_under_fifty_threads(wire: Wire) -> None:
    def slow() -> dict[str, object]:
        time.sleep(0.001)
        return {}

    wire.answer = slow
    pool = GuestPool(max_connections=4, channels_per_connection=3)
    in_threads(50, lambda number: [call(pool, endpoint((number + turn) % 9), 30) for turn in range(20)])
    assert wire.most_open <= 4
    assert wire.most_channels <= 3
    pool.close()
    assert wire.open == set()


def test_the_one_least_recently_used_makes_room(wire: Wire) -> None:
    pool = GuestPool(max_connections=2)
    for number in (0, 1, 0, 2, 0, 1):
        call(pool, endpoint(number))
    assert wire.dialled == ["guest-0", "guest-1", "guest-2", "guest-1"]


def test_idle_ones_are_closed(wire: Wire) -> None:
    pool = GuestPool(idle_seconds=0.02)
    call(pool, endpoint(0))
    time.sleep(0.03)
    call(pool, endpoint(1))
    assert len(wire.open) == 1


def test_waiting_for_a_place_ends_with_the_deadline(wire: Wire) -> None:
    pool = GuestPool(max_connections=1)
    with pool.connected(endpoint(0)) as holder:
        holder.call("echo")
        started = time.monotonic()
        with pytest.raises(GuestUnreachable, match="busy"):
            call(pool, endpoint(1), deadline=0.1)
        assert time.monotonic() - started < 0.5
    assert call(pool, endpoint(1)) == {}


def test_one_found_broken_is_replaced(wire: Wire) -> None:
    pool = GuestPool()
    call(pool, endpoint())
    wire.open.clear()
    assert call(pool, endpoint()) == {}
    assert len(wire.dialled) == 2


@pytest.mark.parametrize(("sent", "dials"), [(False, 2), (True, 1)])
def test_a_call_is_repeated_once_if_it_was_not_sent(wire: Wire, sent: bool, dials: int) -> None:
    pool = GuestPool()
    call(pool, endpoint())

    def fail() -> dict[str, object]:
        wire.open.clear()
        raise GuestUnreachable("broken", sent=sent)

    wire.answer = fail
    with pytest.raises(GuestUnreachable):
        call(pool, endpoint())
    assert len(wire.dialled) == dials


def test_a_first_connection_that_fails_is_not_tried_twice(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    def refuse(*_: object) -> None:
        attempts.append(1)
        raise GuestUnreachable("nobody there")

    monkeypatch.setattr(pool_module, "dial", refuse)
    with pytest.raises(GuestUnreachable):
        call(GuestPool(), endpoint())
    assert len(attempts) == 1


def test_what_a_guest_refuses_leaves_the_connection_as_it_is(wire: Wire) -> None:
    def refuse() -> dict[str, object]:
        raise GuestError("UserNotFound", "no such user")

    pool = GuestPool()
    wire.answer = refuse
    for _ in range(3):
        with pytest.raises(GuestError):
            call(pool, endpoint())
    assert len(wire.dialled) == 1


def test_after_a_timeout_nobody_else_gets_that_connection_but_its_users_keep_it(wire: Wire) -> None:
    pool = GuestPool()

    def late() -> dict[str, object]:
        time.sleep(0.02)
        raise GuestUnreachable("no answer in time", sent=True)

    with pool.connected(endpoint()) as patient:
        patient.call("echo")
        wire.answer = late
        with pytest.raises(GuestUnreachable):
            call(pool, endpoint(), deadline=0.01)
        wire.answer = dict
        assert patient.call("echo") == {}
        call(pool, endpoint())
        assert len(wire.open) == 2
    assert len(wire.open) == 1


def test_a_closed_pool_gives_no_connection(wire: Wire) -> None:
    pool = GuestPool()
    call(pool, endpoint())
    pool.close()
    assert wire.open == set()
    with pytest.raises(GuestUnreachable, match="closed"):
        call(pool, endpoint())


def test_fifty_threads_on_one_real_guest(guest: LocalGuest, pool: GuestPool) -> None:
    def work(number: int) -> None:
        for turn in range(10):
            with pool.connected(guest.endpoint) as client:
                assert client.call("echo", {"me": [number, turn]}, 60) == {"me": [number, turn]}

    in_threads(50, work)
    sessions = [thread for thread in threading.enumerate() if type(thread).__module__ == "paramiko.transport"]
    assert len(sessions) == 1
