"""A Keystone that is away, slow or broken: 503 with Retry-After, never 500, never 401; what was checked before goes on."""

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, Response

import config
from api.app import create_app
from api.keystone import Cache
from cli.ports import any_free
from tests.api.test_instances import fault
from tests.contract.keystone.standin import StandIn
from tests.contract.keystone.test_tokens import ask, messages
from tests.contract.keystone.world import Keystone, api_of, config_file, of_stand_in

AWAY = ("serviceUnavailable", "Keystone can't be asked about the token. Try again later.")
QUICK = {"http_request_max_retries": "0", "http_connect_timeout": "1"}


@pytest.fixture
def keystone(stand_in: StandIn) -> Iterator[Keystone]:
    released.clear()
    yield of_stand_in(stand_in.url)
    stand_in.broken = None
    released.set()


@pytest.fixture
def api(keystone: Keystone, tmp_path: Path) -> Iterator[Flask]:
    with api_of(tmp_path, keystone, **QUICK) as app:
        yield app


released = threading.Event()


def hang() -> Response:
    released.wait(30)
    return Response(status=503)


BROKEN = {
    "500": lambda: Response("it hurts", 500),
    "503": lambda: Response("later", 503),
    "429": lambda: Response("too many", 429),
    "no json": lambda: Response("<html>", 200, content_type="text/html"),
    "other json": lambda: Response("[]", 200, content_type="application/json"),
    "half a token": lambda: Response('{"token": {"user": 3}}', 200, content_type="application/json"),
    "hangs": hang,
}


@pytest.mark.parametrize("how", sorted(BROKEN))
@pytest.mark.parametrize("when", ["before its first answer", "later"])
def test_broken(api: Flask, stand_in: StandIn, keystone: Keystone, how: str, when: str) -> None:
    alice, bob = keystone.login("alice"), keystone.login("bob")
    path = f"/v1.0/{alice.project_id}/limits"
    if when == "later":
        assert ask(api, alice, path).status_code == 200
    stand_in.broken = BROKEN[how]
    for answer in (ask(api, bob, f"/v1.0/{bob.project_id}/limits"), messages(api, bob, "/queues")):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert fault(ask(api, bob, f"/v1.0/{bob.project_id}/limits")) == AWAY
    if when == "later":
        assert ask(api, alice, path).status_code == 200
    stand_in.broken = None
    assert ask(api, bob, f"/v1.0/{bob.project_id}/limits").status_code == 200


def test_away(tmp_path: Path) -> None:
    nowhere = of_stand_in("http://127.0.0.1:1/v3")
    with api_of(tmp_path, nowhere, **QUICK) as api:
        answer = api.test_client().get("/v1.0/x/limits", headers={"X-Auth-Token": "x"})
        assert fault(answer) == AWAY
        assert api.test_client().get("/v1.0/x/limits").status_code == 401
        assert api.test_client().get("/healthcheck").status_code == 200


def test_other_machines_may_reach_it(keystone: Keystone, tmp_path: Path) -> None:
    path = config_file(tmp_path, keystone, "sqlite://")
    path.write_text(path.read_text().replace("[api]\n", "[api]\nbind_host = 0.0.0.0\n"))
    assert create_app(config.load(path)).test_client().get("/healthcheck").status_code == 200


def test_a_token_is_asked_for_once(api: Flask, stand_in: StandIn, keystone: Keystone) -> None:
    alice = keystone.login("alice")
    before = stand_in.validations()
    for _ in range(3):
        assert ask(api, alice, f"/v1.0/{alice.project_id}/limits").status_code == 200
    assert stand_in.validations() == before + 1


def test_or_each_time_where_that_is_wanted(stand_in: StandIn, keystone: Keystone, tmp_path: Path) -> None:
    alice = keystone.login("alice")
    with api_of(tmp_path, keystone, token_cache_time="-1") as api:
        assert ask(api, alice, f"/v1.0/{alice.project_id}/limits").status_code == 200
        keystone.revoke(alice)
        assert ask(api, alice, f"/v1.0/{alice.project_id}/limits").status_code == 401


def test_a_memcached_that_is_away_costs_a_question(stand_in: StandIn, keystone: Keystone, tmp_path: Path) -> None:
    alice = keystone.login("alice")
    with api_of(tmp_path, keystone, memcached_servers="127.0.0.1:1") as api:
        before = stand_in.validations()
        for _ in range(2):
            assert ask(api, alice, f"/v1.0/{alice.project_id}/limits").status_code == 200
    assert stand_in.validations() == before + 2


@pytest.fixture
def memcached() -> Iterator[str]:
    program = shutil.which("memcached")
    if program is None:
        pytest.skip("memcached is not installed")
    port = any_free("127.0.0.1", set())
    process = subprocess.Popen([program, "-l", "127.0.0.1", "-p", str(port), "-u", "nobody"])
    deadline = time.monotonic() + 10
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < deadline, "it does not listen"
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def test_processes_share_memcached(stand_in: StandIn, keystone: Keystone, tmp_path: Path, memcached: str) -> None:
    alice, sealed = keystone.login("alice"), {"memcache_security_strategy": "ENCRYPT", "memcache_secret_key": "k"}
    before = stand_in.validations()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        with api_of(tmp_path / name, keystone, memcached_servers=memcached, **sealed) as api:
            assert ask(api, alice, f"/v1.0/{alice.project_id}/limits").status_code == 200
    assert stand_in.validations() == before + 1


def test_the_cache_forgets_what_is_old_or_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("api.keystone.clock.monotonic", lambda: now)
    cache = Cache(most=2)
    cache.set("a", b"1", time=10)
    cache.set("b", b"2", time=20)
    assert cache.get("a") == b"1"
    cache.set("c", b"3", time=10)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (b"1", None, b"3")
    now = 110.0
    assert (cache.get("a"), cache.get("c")) == (None, None)
