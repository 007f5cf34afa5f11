"""Whatever a tenant calls things: it exists exactly so and works, or it is refused and nothing has changed."""

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.guest_agent.engines import ENGINES, Engine, LoginRefused
from tests.guest_agent.server import RpcError, running_server

pytestmark = pytest.mark.engines

FRAGMENTS = st.sampled_from(
    [
        *(
            "'",
            '"',
            "`",
            "\\",
            "%",
            "_",
            ";",
            "--",
            "/*",
            "#",
            "$",
            "@",
            ".",
            "/",
            ":",
            ",",
            "*",
            "?",
            "(",
            ")",
            "[",
            "{",
            "~",
            "&",
            "+",
            ">",
        ),
        *(
            "\0",
            "\n",
            "\r",
            "\t",
            "\x1a",
            "\x7f",
            "\u00a0",
            "\u200b",
            "\u202e",
            "\ufeff",
            "\ufffd",
            "é",
            "ß",
            "İ",
            "ż",
            "漢",
            "😀",
        ),
        *("%s", "%(x)s", "%%", "{}", "{0}", "\\'", "' OR ''='", "'; DROP DATABASE first; --", "`.`", "$$", "${x}", "..", "../"),
        *(
            "root",
            "mysql",
            "postgres",
            "default",
            "os_admin",
            "public",
            "select",
            "table",
            "user",
            "null",
            "none",
            "all",
            "pg_",
            " ",
        ),
        *("a", "b", "Ab", "1", "first"),
    ]
)
NAMES = st.one_of(
    st.lists(FRAGMENTS, min_size=1, max_size=4).map("".join),
    st.text(max_size=20),
    st.builds(lambda text, count: text * count, FRAGMENTS, st.integers(10, 130)),
)
PASSWORDS = st.one_of(st.lists(FRAGMENTS, min_size=1, max_size=4).map("".join), st.text(min_size=1, max_size=20))
HOSTS = st.one_of(
    st.just("%"),
    st.ip_addresses().map(str),
    st.ip_addresses(v=4).map(lambda address: str(address).rsplit(".", 1)[0] + ".%"),
    st.builds(lambda length: ipaddress.ip_network(f"127.0.0.1/{length}", strict=False).with_netmask, st.integers(0, 32)),
    st.lists(FRAGMENTS, max_size=3).map("".join),
)


def bounded(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@pytest.fixture(scope="module", params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with running_server(request.param) as server:
        server.run("prepare", databases=[{"name": "first"}] if ENGINES[request.param].has_databases else [])
        yield ENGINES[request.param](server)


def accepted(engine: Engine, kind: str, **spec: Any) -> bool:
    """Whether the job succeeded; if not, it has been refused as invalid, and left nothing."""
    before = engine.inventory()
    failure = None
    try:
        engine.server.run(kind, **spec)
    except RpcError as error:
        if error.type != "InvalidRequest":
            raise
        failure = error
    assert failure is None or engine.inventory() == before
    return failure is None


def clear(engine: Engine) -> None:
    """What an example that failed has left must not make the next one fail."""
    for name, host in users(engine):
        engine.server.run("delete_user", name=name, host=host)
    if engine.has_databases:
        for database in engine.server.call("databases.list")["databases"]:
            if database["name"] != "first":
                engine.server.run("delete_database", name=database["name"])


def users(engine: Engine) -> list[tuple[str, str]]:
    return [(user["name"], user["host"]) for user in engine.server.call("users.list")["users"]]


@bounded(30)
@given(name=NAMES, password=PASSWORDS)
@example(name="a" * 63, password="p")
@example(name="O'Reilly\"`%s", password="' OR ''='%s\\")
@example(name="'ada'", password="p")
@example(name="ada", password="pässwörd 漢😀")
def test_users_and_passwords(engine: Engine, name: str, password: str) -> None:
    clear(engine)
    before = engine.inventory()
    if not accepted(engine, "create_users", users=[{"name": name, "password": password}]):
        return
    assert users(engine) == [(name, "%")]
    assert engine.server.call("users.show", name=name)["name"] == name
    engine.log_in(name, password)
    with pytest.raises(LoginRefused):
        engine.log_in(name, password + "x")
    assert accepted(engine, "update_user", name=name, new={"name": "plain", "password": "other"})
    engine.log_in("plain", "other")
    assert accepted(engine, "update_user", name="plain", new={"name": name})
    assert accepted(engine, "change_passwords", users=[{"name": name, "password": password}])
    engine.log_in(name, password)
    assert accepted(engine, "delete_user", name=name)
    assert engine.inventory() == before


@bounded(15)
@given(name=NAMES)
@example(name="d_1%`'\"")
@example(name="_" * 33)
@example(name="é" * 51)
@example(name="#mysql50#x")
def test_databases(engine: Engine, name: str) -> None:
    if not engine.has_databases:
        with pytest.raises(RpcError, match="NotSupported"):
            engine.server.run("create_databases", databases=[{"name": name}])
        return
    clear(engine)
    before = engine.inventory()
    if name == "first" or not accepted(engine, "create_databases", databases=[{"name": name}]):
        return
    listed = [database["name"] for database in engine.server.call("databases.list")["databases"]]
    assert listed == sorted(["first", name])
    created = accepted(engine, "create_users", users=[{"name": "ada", "password": "p", "databases": [{"name": name}]}])
    assert created
    assert engine.server.call("users.show", name="ada")["databases"] == [{"name": name}]
    engine.log_in("ada", "p", name)
    with pytest.raises(LoginRefused):
        engine.log_in("ada", "p", "first")
    assert accepted(engine, "revoke_access", name="ada", database=name)
    with pytest.raises(LoginRefused):
        engine.log_in("ada", "p", name)
    assert accepted(engine, "delete_user", name="ada")
    assert accepted(engine, "delete_database", name=name)
    assert engine.inventory() == before


def includes_this_machine(host: str) -> bool:
    if "/" in host:
        return ipaddress.ip_address("127.0.0.1") in ipaddress.ip_network(host)
    return host in ("", "%", "127.0.0.%", "127.0.0.1")


@bounded(30)
@given(host=HOSTS)
@example(host="127.0.0.0/255.0.0.0")
@example(host="0.0.0.0/0.0.0.0")
def test_hosts(engine: Engine, host: str) -> None:
    clear(engine)
    before = engine.inventory()
    if not accepted(engine, "create_users", users=[{"name": "ada", "password": "p", "host": host}]):
        assert host != "%"
        return
    assert users(engine) == [("ada", host or "%")]
    if includes_this_machine(host):
        engine.log_in("ada", "p")
    assert accepted(engine, "delete_user", name="ada", host=host)
    assert engine.inventory() == before


@bounded(10)
@given(password=PASSWORDS)
@example(password="'; SHUTDOWN; --")
def test_roots_password(engine: Engine, password: str) -> None:
    before = engine.inventory()
    if accepted(engine, "enable_root", password=password):
        engine.log_in(engine.root, password)
        engine.server.run("disable_root")
        assert engine.server.call("root.show") == {"enabled": False}
        if engine.root != "postgres":
            # There the role stays, as it may own things, but cannot do any.
            assert engine.inventory() == before


def test_accepted_names_survive_a_restart(engine: Engine) -> None:
    names = ["O'Reilly\"`%s", "-@all", "#", "user", "on", "~*", "(x)", "漢字", "a;b", "%"]
    kept = [name for name in names if accepted(engine, "create_users", users=[{"name": name, "password": name}])]
    assert len(kept) >= len(names) - 1
    before = engine.inventory()
    engine.server.run("restart")
    assert engine.inventory() == before
    for name in kept:
        engine.log_in(name, name)
        engine.server.run("delete_user", name=name)
