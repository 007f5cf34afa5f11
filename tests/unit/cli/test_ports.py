"""Which ports the control plane takes, and what it says of those that it can't have."""

import socket
from collections.abc import Iterator

import pytest

from cli.errors import CliError
from cli.ports import ANY, EPHEMERAL, Ports, WantPorts, check_loopback, choose, is_free

HOST = "127.0.0.1"


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.socket() as s:
        s.bind((HOST, 0))
        s.listen()
        yield s.getsockname()[1]


def test_free_ports_are_three_and_out_of_the_way_of_outgoing_connections() -> None:
    ports = choose(HOST, ANY, None)
    assert len({ports.api, ports.temporal, ports.ui}) == 3
    assert max(ports.api, ports.temporal, ports.ui) < int(EPHEMERAL.read_text().split()[0])
    assert all(is_free(HOST, port) for port in (ports.api, ports.temporal, ports.ui))


def test_any_port_means_the_last_one_while_that_is_free(busy: int) -> None:
    last = choose(HOST, ANY, None)
    assert choose(HOST, ANY, last) == last
    assert choose(HOST, ANY, Ports(busy, last.temporal, last.ui)).api != busy


def test_without_a_wish_the_last_ports_come_back() -> None:
    last = choose(HOST, ANY, None)
    assert choose(HOST, WantPorts(), last) == last


def test_a_busy_port_is_named_with_the_way_out(busy: int) -> None:
    with pytest.raises(CliError, match=f"port {busy} on 127.0.0.1 is in use, and is to be the temporal port") as caught:
        choose(HOST, WantPorts(api=0, temporal=busy, ui=0), None)
    assert "--temporal-port" in caught.value.hint


def test_one_port_can_not_serve_two() -> None:
    free = choose(HOST, ANY, None).api
    with pytest.raises(CliError, match="in use"):
        choose(HOST, WantPorts(api=free, temporal=free, ui=0), None)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_is_allowed(host: str) -> None:
    check_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org", ""])  # noqa: S104
def test_everything_else_is_refused(host: str) -> None:
    with pytest.raises(CliError, match="--host"):
        check_loopback(host)
