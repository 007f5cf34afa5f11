"""What the control plane's key opens, and what it does not: a real sshd configured as on every embedded server."""

import dataclasses
import json
import socket
from collections.abc import Iterator

import paramiko
import pytest

from guests.errors import GuestError, GuestUnreachable, HostKeyMismatch
from guests.keys import new_key_pair
from guests.pool import GuestPool
from guests.transport import Deadline, dial, open_channel
from tests.support.local_guest import LocalGuest


@pytest.fixture
def transport(guest: LocalGuest) -> Iterator[paramiko.Transport]:
    transport = dial(guest.endpoint, Deadline(10))
    yield transport
    transport.close()


def output_of(channel: paramiko.Channel) -> bytes:
    channel.settimeout(5)
    channel.sendall(b'{"id": 1, "method": "echo", "params": {}}\n')
    return channel.recv(1000)


def test_the_subsystem_reaches_the_agent(transport: paramiko.Transport, guest: LocalGuest) -> None:
    answer = output_of(open_channel(transport, guest.endpoint, Deadline(5)))
    assert json.loads(answer) == {"id": 1, "result": {}}


@pytest.mark.parametrize("command", ["id", "cat /etc/passwd", "/bin/sh", "sh -c 'echo $SHELL'", "coffer-guest; id"])
def test_exec_runs_nothing(transport: paramiko.Transport, command: str) -> None:
    channel = transport.open_session(timeout=5)
    channel.exec_command(command)
    assert output_of(channel) == b""
    assert channel.recv_exit_status() != 0


def test_there_is_no_shell(transport: paramiko.Transport) -> None:
    channel = transport.open_session(timeout=5)
    channel.invoke_shell()
    assert output_of(channel) == b""
    assert channel.recv_exit_status() != 0


def test_there_is_no_terminal(transport: paramiko.Transport) -> None:
    channel = transport.open_session(timeout=5)
    with pytest.raises(paramiko.SSHException):
        channel.get_pty()


def test_there_is_no_other_subsystem(transport: paramiko.Transport) -> None:
    channel = transport.open_session(timeout=5)
    with pytest.raises(paramiko.SSHException):
        channel.invoke_subsystem("sftp")


def test_no_port_is_forwarded_through_the_guest(transport: paramiko.Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside, pytest.raises(paramiko.ChannelException) as refused:
        transport.open_channel("direct-tcpip", inside.getsockname(), ("127.0.0.1", 1), timeout=5)
    assert refused.value.code == 1  # administratively prohibited


def test_the_guest_opens_no_port_for_us(transport: paramiko.Transport) -> None:
    with pytest.raises(paramiko.SSHException):
        transport.request_port_forward("127.0.0.1", 0)


def test_another_key_is_refused(guest: LocalGuest, pool: GuestPool) -> None:
    stranger = dataclasses.replace(guest.endpoint, private_key=new_key_pair().private)
    with pool.connected(stranger) as client, pytest.raises(GuestUnreachable, match="Authentication"):
        client.call("echo")


def test_a_password_is_not_asked_for(guest: LocalGuest) -> None:
    transport = paramiko.Transport((guest.endpoint.address, guest.endpoint.port))
    try:
        transport.start_client(timeout=5)
        with pytest.raises(paramiko.BadAuthenticationType) as refused:
            transport.auth_password(guest.endpoint.username, "secret", fallback=False)
        assert refused.value.allowed_types == ["publickey"]
    finally:
        transport.close()


def test_another_host_key_is_refused_before_we_prove_ourselves(
    guest: LocalGuest, pool: GuestPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("authenticated to a stranger")

    monkeypatch.setattr(paramiko.Transport, "auth_publickey", never)
    stranger = dataclasses.replace(guest.endpoint, host_public_key=new_key_pair().public)
    with pool.connected(stranger) as client, pytest.raises(HostKeyMismatch):
        client.call("echo")


def test_what_the_guest_refuses_is_told_with_its_type(guest: LocalGuest, pool: GuestPool) -> None:
    with pool.connected(guest.endpoint) as client:
        with pytest.raises(GuestError) as refused:
            client.call("users.show")
        assert (refused.value.type, refused.value.message) == ("UserNotFound", "There is no such user.")
        assert client.call("echo", {"still": "there"}) == {"still": "there"}


def test_a_large_request_and_answer_pass_and_a_larger_one_is_refused_here(guest: LocalGuest, pool: GuestPool) -> None:
    with pool.connected(guest.endpoint) as client:
        large = {"text": "x" * 1_000_000}
        assert client.call("echo", large) == large
        with pytest.raises(GuestError, match="InvalidRequest"):
            client.call("echo", {"text": "x" * (1 << 20)})


def test_keys_show_in_no_representation(guest: LocalGuest) -> None:
    pair = new_key_pair()
    assert pair.private.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert pair.public.startswith("ssh-ed25519 ")
    for shown in (repr(pair), repr(guest.endpoint), str(guest.endpoint)):
        assert "PRIVATE KEY" not in shown
