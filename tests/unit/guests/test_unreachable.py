"""A guest that is dead in one way or another costs its caller the deadline and not more, and leaves no thread behind."""

import dataclasses
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from clouds.local.procfs import cmdline, processes_of
from guests.errors import GuestUnreachable
from guests.pool import GuestPool
from guests.transport import Endpoint
from tests.support.local_guest import LocalGuest, eventually, local_guest

SLACK = 0.5


@contextmanager
def fails_within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    with pytest.raises(GuestUnreachable):
        yield
    assert time.monotonic() - started < seconds + SLACK


@pytest.fixture
def blackhole(guest: LocalGuest) -> Iterator[Endpoint]:
    """Accepts connections, in the kernel only, and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield dataclasses.replace(guest.endpoint, address="127.0.0.1", port=listener.getsockname()[1])


@pytest.fixture
def closed_port(guest: LocalGuest) -> Endpoint:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return dataclasses.replace(guest.endpoint, address="127.0.0.1", port=port)


def test_a_closed_port(closed_port: Endpoint, pool: GuestPool) -> None:
    with pool.connected(closed_port) as client, fails_within(0.2):
        client.call("echo", deadline=5)


@pytest.mark.parametrize("deadline", [0.0, 0.2, 1.0])
def test_a_listener_that_never_speaks(blackhole: Endpoint, pool: GuestPool, deadline: float) -> None:
    with pool.connected(blackhole) as client, fails_within(deadline):
        client.call("echo", deadline=deadline)


def test_a_listener_that_says_hello_and_no_more(guest: LocalGuest, pool: GuestPool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = dataclasses.replace(guest.endpoint, address="127.0.0.1", port=listener.getsockname()[1])

        def greet() -> None:
            connection, _ = listener.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            gone.wait(10)
            connection.close()

        gone = threading.Event()
        greeter = threading.Thread(target=greet)
        greeter.start()
        with pool.connected(endpoint) as client, fails_within(0.5):
            client.call("echo", deadline=0.5)
        gone.set()
        greeter.join()


def test_a_listener_that_speaks_something_else(guest: LocalGuest, pool: GuestPool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = dataclasses.replace(guest.endpoint, address="127.0.0.1", port=listener.getsockname()[1])

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        greeter = threading.Thread(target=greet)
        greeter.start()
        with pool.connected(endpoint) as client, fails_within(3):
            client.call("echo", deadline=3)
        greeter.join()


@pytest.mark.parametrize("size", [10, 900_000])
def test_a_guest_that_is_stopped_in_the_middle(size: int) -> None:
    with local_guest("tests.support.echo_agent") as guest:
        pool = GuestPool()
        try:
            with pool.connected(guest.endpoint) as client:
                assert eventually(lambda: _echoes(pool, guest))
                client.call("echo")
                stopped = sshd_processes(guest)
                assert len(stopped) >= 2
                for pid in stopped:
                    os.kill(pid, signal.SIGSTOP)
                with fails_within(0.5):
                    client.call("echo", {"text": "x" * size}, deadline=0.5)
                with fails_within(0.5):
                    client.call("echo", deadline=0.5)
                for pid in stopped:
                    os.kill(pid, signal.SIGCONT)
                assert client.call("echo", {"a": 1}) == {"a": 1}
        finally:
            pool.close()


def test_an_agent_that_dies_is_reached_again_when_it_is_back(guest: LocalGuest, pool: GuestPool) -> None:
    with pool.connected(guest.endpoint) as client:
        with fails_within(5):
            client.call("die", deadline=5)
        assert eventually(lambda: _echoes(pool, guest))
        assert client.call("echo") == {}


def test_a_slow_answer_is_not_taken_for_that_of_the_next_call(guest: LocalGuest, pool: GuestPool) -> None:
    with pool.connected(guest.endpoint) as client:
        with fails_within(0.3):
            client.call("sleep", {"seconds": 0.6}, deadline=0.3)
        assert client.call("echo", {"mine": 1}) == {"mine": 1}


def test_a_thousand_calls_leave_no_thread(guest: LocalGuest, closed_port: Endpoint, blackhole: Endpoint) -> None:
    before = set(threading.enumerate())
    pool = GuestPool()
    for _ in range(1000):
        with pool.connected(guest.endpoint) as client:
            client.call("echo")
    assert len(set(threading.enumerate()) - before) == 1
    for _ in range(1000):
        with pool.connected(closed_port) as client, pytest.raises(GuestUnreachable):
            client.call("echo", deadline=1)
    for _ in range(50):
        with pool.connected(blackhole) as client, pytest.raises(GuestUnreachable):
            client.call("echo", deadline=0.01)
    pool.close()
    assert eventually(lambda: not set(threading.enumerate()) - before)


def _echoes(pool: GuestPool, guest: LocalGuest) -> bool:
    try:
        with pool.connected(guest.endpoint) as client:
            return client.call("echo", {"a": 1}) == {"a": 1}
    except GuestUnreachable:
        return False


def sshd_processes(guest: LocalGuest) -> set[int]:
    return {pid for pid in processes_of(guest.root, guest.endpoint.address) if cmdline(pid)[0].startswith(b"sshd")}
