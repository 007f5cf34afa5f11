"""Framing and dispatch, through the agent's own socket."""

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from guest_agent import rpc
from guest_agent.rpc import RpcServer
from tests.guest_agent.server import Client, RpcError, Server


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server whose method `echo` gives back its params, and `fail` has a bug."""

    def handle(method: str, params: dict[str, Any]) -> object:
        return params if method == "echo" else {}[method]

    path = tmp_path_factory.mktemp("rpc") / "sock"
    server = RpcServer(path, handle)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return path


def error_of(answer: bytes) -> tuple[object, str]:
    message = json.loads(answer)
    return message["id"], message["error"]["type"]


def exchange_raw(path: Path, line: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(line)
        return client.makefile("rb").readline()


@pytest.mark.parametrize(
    ("line", "id_"),
    [
        (b"hello\n", None),
        (b"\n", None),
        (b"[]\n", None),
        (b"\xff\xfe\n", None),
        (b"[" * 100_000 + b"\n", None),
        (b'{"method": "echo"}\n', None),
        (b'{"id": [1], "method": "echo"}\n', None),
        (b'{"id": 3, "method": 4}\n', 3),
        (b'{"id": "x", "method": "echo", "params": []}\n', "x"),
        (b'{"id": 3, "method": "echo", "extra": 1}\n', 3),
        (b'{"id": 3, "method": "\\ud800"}\n', 3),
    ],
)
def test_what_is_no_request_is_answered_and_the_connection_goes_on(path: Path, line: bytes, id_: object) -> None:
    with Client(path) as client:
        client.socket.sendall(line)
        assert error_of(client._answers.readline()) == (id_, "InvalidRequest")
        assert client.call("echo", still="here") == {"still": "here"}


def test_a_line_that_is_too_long_ends_the_connection(path: Path) -> None:
    with Client(path) as client:
        client.socket.sendall(b'{"id": 1, "method": "echo", "params": {"x": "' + b"a" * rpc.MAX_LINE)
        assert error_of(client._answers.readline()) == (None, "InvalidRequest")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            client.call("echo")


def test_a_line_of_just_the_allowed_length_passes(path: Path) -> None:
    frame = len(json.dumps({"id": 1, "method": "echo", "params": {"x": ""}})) + 1
    text = "a" * (rpc.MAX_LINE - frame)
    with Client(path) as client:
        assert client.call("echo", x=text) == {"x": text}


def test_requests_are_answered_in_order(path: Path) -> None:
    lines = b"".join(json.dumps({"id": n, "method": "echo", "params": {"n": n}}).encode() + b"\n" for n in range(100))
    with Client(path) as client:
        client.socket.sendall(lines)
        assert [client.read()["n"] for _ in range(100)] == list(range(100))


def test_a_bug_is_an_answer_that_tells_no_values(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    answer = exchange_raw(path, b'{"id": 1, "method": "topsecret"}\n')
    assert error_of(answer) == (1, "Internal")
    assert b"topsecret" not in answer
    assert "topsecret" not in caplog.text


def test_half_a_request_is_nothing(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b'{"id": 1, "method": "echo"}')
        client.shutdown(socket.SHUT_WR)
        assert client.makefile("rb").read() == b""


def test_more_clients_than_threads_are_served_one_after_the_other(path: Path) -> None:
    clients = [Client(path) for _ in range(rpc.MAX_CONNECTIONS + 1)]
    try:
        for client in clients[:-1]:
            client.call("echo")
        clients[-1].socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            clients[-1].call("echo")
        clients[0].close()
        clients[-1].socket.settimeout(10)
        assert json.loads(clients[-1].socket.makefile("rb").readline())["result"] == {}
    finally:
        for client in clients:
            client.close()


def test_the_agents_methods_take_what_they_say_and_nothing_else(stub: Server) -> None:
    refused: list[tuple[str, dict[str, Any]]] = [
        ("hello", {"extra": 1}),
        ("databases.list", {"limit": 0}),
        ("databases.list", {"limit": True}),
        ("databases.list", {"limit": 1001}),
        ("users.show", {}),
        ("job.status", {"job_id": "../generation"}),
        ("job.status", {"job_id": "job", "wait": 31}),
        ("job.status", {"job_id": "job", "wait": "1"}),
        ("job.start", {"job_id": "job", "generation": -1, "kind": "prepare", "spec": {}}),
        ("job.start", {"job_id": "job", "generation": 1, "kind": "prepare", "spec": {"database": []}}),
        ("job.start", {"job_id": "job", "generation": 1, "kind": "prepare", "spec": {"databases": [{"name": "a"}] * 2}}),
        ("job.start", {"job_id": "job", "generation": 1, "kind": "enable_root", "spec": {"password": ""}}),
    ]
    for method, params in refused:
        with pytest.raises(RpcError) as caught:
            stub.call(method, **params)
        assert caught.value.type == "InvalidRequest", (method, params)
    for method, params in (("shell", {}), ("job.start", {"job_id": "j", "generation": 1, "kind": "rm", "spec": {}})):
        with pytest.raises(RpcError) as caught:
            stub.call(method, **params)
        assert caught.value.type == "UnknownMethod"
    assert stub.call("job.status", job_id="job")["state"] == "not_started"


def test_lists_are_paged_by_an_exclusive_marker(stub: Server) -> None:
    names = [f"d{number}" for number in range(5)]
    users = [{"name": f"u{number}", "password": "p"} for number in range(3)]
    stub.run("prepare", databases=[{"name": name} for name in reversed(names)], users=users)
    seen, marker = [], None
    while True:
        page = stub.call("databases.list", limit=2, marker=marker)
        seen += [database["name"] for database in page["databases"]]
        marker = page["next"]
        if marker is None:
            break
        assert len(page["databases"]) == 2
    assert seen == names
    page = stub.call("users.list", limit=2)
    assert page["next"] == "u1@%"
    assert [user["name"] for user in stub.call("users.list", marker="u1@%")["users"]] == ["u2"]
