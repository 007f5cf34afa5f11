"""Each engine end to end: through the agent's socket on one side, as a tenant over the network on the other."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import psycopg
import pymysql
import pytest
import redis

from tests.guest_agent.engines import ENGINES, NO_RETRY, Engine, LoginRefused, rss_kb
from tests.guest_agent.server import RpcError, Server, running_server, until

pytestmark = pytest.mark.engines

IDLE_RSS_KB = 45 * 1024


@pytest.fixture(scope="module", params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with running_server(request.param) as server:
        server.run("prepare", databases=[{"name": "first"}] if ENGINES[request.param].has_databases else [])
        yield ENGINES[request.param](server)


with_databases = pytest.mark.parametrize("engine", ["mariadb", "postgresql"], indirect=True)


def database_names(server: Server) -> list[str]:
    return [database["name"] for database in server.call("databases.list")["databases"]]


def listed_users(server: Server) -> dict[tuple[str, str], list[str]]:
    users = server.call("users.list")["users"]
    return {(user["name"], user["host"]): [database["name"] for database in user["databases"]] for user in users}


def refused(server: Server, type_: str, kind: str, **spec: Any) -> None:
    before = ENGINES[server.call("hello")["datastore"]](server).inventory()
    with pytest.raises(RpcError) as caught:
        server.run(kind, **spec)
    assert caught.value.type == type_
    assert ENGINES[server.call("hello")["datastore"]](server).inventory() == before


def test_status_and_hello_tell_the_engines_version(engine: Engine) -> None:
    status = engine.server.call("engine.status")
    assert status["state"] == "running"
    assert status["version"][0].isdecimal()
    assert set(status["version"]) <= set("0123456789.")
    assert engine.server.call("hello")["engine"] == "running"


def test_the_engine_is_the_servers_own_account_and_address(engine: Engine) -> None:
    pid = engine.server.pid("engine")
    owner = os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116 - of a process
    assert owner == os.geteuid() if os.geteuid() else owner != 0


def test_a_fresh_engine_lets_nobody_in_and_lists_nothing_internal(engine: Engine) -> None:
    assert listed_users(engine.server) == {}
    for name in ("", engine.root, "os_admin"):
        with pytest.raises(LoginRefused):
            engine.log_in(name, "")
    if engine.has_databases:
        assert database_names(engine.server) == ["first"]


def test_a_user_lives_its_life(engine: Engine) -> None:
    server = engine.server
    before = engine.inventory()
    server.run("create_users", users=[{"name": "ada", "password": "one"}])
    engine.log_in("ada", "one")
    refused(server, "UserExists", "create_users", users=[{"name": "new", "password": "x"}, {"name": "ada", "password": "x"}])
    server.run("change_passwords", users=[{"name": "ada", "host": "%", "password": "two"}])
    engine.log_in("ada", "two")
    with pytest.raises(LoginRefused):
        engine.log_in("ada", "one")
    server.run("update_user", name="ada", host="%", new={"name": "bea"})
    engine.log_in("bea", "two")
    assert server.call("users.show", name="bea") == {"name": "bea", "host": "%", "databases": []}
    server.run("update_user", name="bea", new={"name": "cyd", "password": "three"})
    engine.log_in("cyd", "three")
    refused(server, "InvalidRequest", "update_user", name="cyd", new={})
    server.run("delete_user", name="cyd", host="%")
    with pytest.raises(LoginRefused):
        engine.log_in("cyd", "three")
    assert engine.inventory() == before


def test_what_is_not_there_cannot_be_changed(engine: Engine) -> None:
    server = engine.server
    with pytest.raises(RpcError) as caught:
        server.call("users.show", name="nobody")
    assert caught.value.type == "UserNotFound"
    refused(server, "UserNotFound", "delete_user", name="nobody")
    refused(server, "UserNotFound", "update_user", name="nobody", new={"name": "somebody"})
    refused(server, "UserNotFound", "change_passwords", users=[{"name": "nobody", "password": "x"}])
    refused(server, "RootNotEnabled", "disable_root")
    missing = "DatabaseNotFound" if engine.has_databases else "NotSupported"
    refused(server, missing, "delete_database", name="nowhere")
    refused(server, missing, "create_users", users=[{"name": "u", "password": "p", "databases": [{"name": "nowhere"}]}])


def test_root_can_be_enabled_again_and_disabled(engine: Engine) -> None:
    server = engine.server
    assert server.call("root.show") == {"enabled": False}
    for password in ("top", "topmost"):
        assert server.run("enable_root", password=password) == {"name": engine.root}
        engine.log_in(engine.root, password)
        assert server.call("root.show") == {"enabled": True}
    with pytest.raises(LoginRefused):
        engine.log_in(engine.root, "top")
    assert listed_users(server) == {}
    server.run("disable_root")
    assert server.call("root.show") == {"enabled": False}
    with pytest.raises(LoginRefused):
        engine.log_in(engine.root, "topmost")


def test_reserved_names_are_refused(engine: Engine) -> None:
    for name in ("os_admin", engine.root):
        refused(engine.server, "InvalidRequest", "create_users", users=[{"name": name, "password": "x"}])
        refused(engine.server, "InvalidRequest", "delete_user", name=name)
        refused(engine.server, "InvalidRequest", "change_passwords", users=[{"name": name, "password": "x"}])
    if engine.has_databases:
        internal = {"mariadb": ("mysql", "SYS", "Information_Schema"), "postgresql": ("postgres", "template0", "template1")}
        for name in internal[engine.server.call("hello")["datastore"]]:
            refused(engine.server, "InvalidRequest", "create_databases", databases=[{"name": name}])
            refused(engine.server, "InvalidRequest", "delete_database", name=name)


def test_accounts_and_root_are_still_there_after_a_crash_of_everything(engine: Engine) -> None:
    server = engine.server
    server.run("create_users", users=[{"name": "kept", "password": "kept"}])
    before = engine.inventory()
    server.power_off()
    server.boot()
    until(lambda: server.call("engine.status")["state"] == "running")
    assert engine.inventory() == before
    engine.log_in("kept", "kept")
    server.run("delete_user", name="kept")


def test_init_brings_a_crashed_engine_back(engine: Engine) -> None:
    pid = engine.server.pid("engine")
    os.kill(pid, signal.SIGKILL)
    until(lambda: engine.server.call("engine.status")["state"] == "running")
    assert engine.server.pid("engine") != pid


def test_a_stopped_engine_is_unavailable_to_reads_and_started_again(engine: Engine) -> None:
    engine.server.run("stop")
    assert engine.server.call("engine.status") == {"state": "stopped", "version": None}
    with pytest.raises(RpcError) as caught:
        engine.server.call("users.list")
    assert caught.value.type == "EngineUnavailable"
    engine.server.run("start")
    assert engine.server.call("engine.status")["state"] == "running"


def test_an_engine_that_hangs_is_not_running(engine: Engine) -> None:
    pid = engine.server.pid("engine")
    os.kill(pid, signal.SIGSTOP)
    try:
        assert engine.server.call("engine.status") == {"state": "stopped", "version": None}
    finally:
        os.kill(pid, signal.SIGCONT)
    assert engine.server.call("engine.status")["state"] == "running"


def test_an_engine_that_will_not_start_says_why(engine: Engine) -> None:
    server = engine.server
    configuration = next((server.path / "state" / "conf").glob("*.c[no][nf]*"))
    if server.call("hello")["datastore"] == "postgresql":
        configuration = server.path / "state" / "conf" / "postgresql.conf"
    good = configuration.read_text()
    server.run("stop")
    configuration.write_text(good + "\nno-such-option = 1\n")
    try:
        with pytest.raises(RpcError, match=r"no.such.option") as caught:
            server.run("start")
        assert caught.value.type == "EngineFailed"
    finally:
        configuration.write_text(good)
        server.run("start")


def test_the_agent_is_small(engine: Engine) -> None:
    assert rss_kb(engine.server.pid("agent")) < IDLE_RSS_KB


def test_no_password_is_in_any_log_or_journal(engine: Engine) -> None:
    secret = "hunter2-of-this-test"
    server = engine.server
    server.run("create_users", users=[{"name": "shy", "password": secret}])
    server.run("change_passwords", users=[{"name": "shy", "password": secret + "'\"\\"}])
    server.run("enable_root", password=secret)
    server.run("disable_root")
    server.run("delete_user", name="shy")
    kept = [path for name in ("log", "state", "units", "run") for path in (server.path / name).rglob("*") if path.is_file()]
    assert kept
    assert [path for path in kept if secret.encode() in path.read_bytes()] == []


@with_databases
def test_access_to_databases(engine: Engine) -> None:
    server = engine.server
    before = engine.inventory()
    server.run("create_databases", databases=[{"name": "d_1"}, {"name": "dx1"}, {"name": "d%1"}])
    refused(server, "DatabaseExists", "create_databases", databases=[{"name": "another"}, {"name": "dx1"}])
    server.run("create_users", users=[{"name": "ada", "password": "p", "databases": [{"name": "d_1"}]}])
    engine.log_in("ada", "p", "d_1")
    # The names are patterns of each other where access is granted by pattern.
    for name in ("dx1", "d%1", "first"):
        with pytest.raises(LoginRefused):
            engine.log_in("ada", "p", name)
    server.run("grant_access", name="ada", databases=[{"name": "d%1"}, {"name": "d_1"}])
    engine.log_in("ada", "p", "d%1")
    with pytest.raises(LoginRefused):
        engine.log_in("ada", "p", "dx1")
    assert listed_users(server) == {("ada", "%"): ["d%1", "d_1"]}
    server.run("revoke_access", name="ada", database="d%1")
    refused(server, "DatabaseNotFound", "revoke_access", name="ada", database="d%1")
    with pytest.raises(LoginRefused):
        engine.log_in("ada", "p", "d%1")
    engine.log_in("ada", "p", "d_1")
    server.run("update_user", name="ada", new={"name": "bea"})
    assert listed_users(server) == {("bea", "%"): ["d_1"]}
    for name in ("d_1", "dx1", "d%1"):
        server.run("delete_database", name=name)
    assert listed_users(server) == {("bea", "%"): []}
    server.run("create_databases", databases=[{"name": "d_1"}])
    with pytest.raises(LoginRefused):
        engine.log_in("bea", "p", "d_1")
    server.run("delete_database", name="d_1")
    server.run("delete_user", name="bea")
    assert engine.inventory() == before


@with_databases
def test_a_user_with_tables_can_be_deleted(engine: Engine) -> None:
    server = engine.server
    server.run("create_users", users=[{"name": "maker", "password": "p", "databases": [{"name": "first"}]}])
    engine.log_in("maker", "p", "first")
    server.run("delete_user", name="maker")
    server.run("create_users", users=[{"name": "other", "password": "p", "databases": [{"name": "first"}]}])
    engine.log_in("other", "p", "first")
    server.run("delete_user", name="other")


@with_databases
def test_character_sets_are_the_engines_own(engine: Engine) -> None:
    server = engine.server
    options = {
        "mariadb": [{"character_set": "latin1", "collate": "latin1_bin"}, {"character_set": "utf8"}, {"collate": "utf8mb4_bin"}],
        "postgresql": [{"character_set": "LATIN1"}, {"character_set": "utf8"}, {"character_set": "UTF8", "collate": "C"}],
    }[server.call("hello")["datastore"]]
    for option in options:
        server.run("create_databases", databases=[{"name": "c", **option}])
        server.run("delete_database", name="c")
    for option in ({"character_set": "klingon"}, {"collate": "nowhere' --"}, {"character_set": "utf8", "collate": "latin1_bin"}):
        refused(server, "InvalidRequest", "create_databases", databases=[{"name": "good"}, {"name": "c", **option}])


def test_mariadb_users_have_hosts(engine: Engine) -> None:
    server = engine.server
    if server.call("hello")["datastore"] != "mariadb":
        refused(server, "InvalidRequest", "create_users", users=[{"name": "ada", "password": "p", "host": "127.0.0.1"}])
        return
    users = [("%", "any"), ("127.0.0.1", "here"), ("10.%", "there"), ("192.168.0.0/255.255.0.0", "net"), ("::1", "six")]
    server.run("create_users", users=[{"name": "ada", "password": password, "host": host} for host, password in users])
    assert sorted(host for _, host in listed_users(server)) == sorted(host for host, _ in users)
    engine.log_in("ada", "here")
    server.run("delete_user", name="ada", host="127.0.0.1")
    engine.log_in("ada", "any")
    server.run("update_user", name="ada", host="%", new={"host": "127.0.%"})
    engine.log_in("ada", "any")
    for host in ("127.0.%", "10.%", "192.168.0.0/255.255.0.0", "::1"):
        server.run("delete_user", name="ada", host=host)
    for host in ("", "localhost", "db.example.org", "256.0.0.1", "10.0", "%.%.%.%.%", "10.0.0.0/8", "' OR ''='", "::0001"):
        refused(server, "InvalidRequest", "create_users", users=[{"name": "ada", "password": "p", "host": host or " "}])


def test_mariadbs_temporary_tables_outlive_the_start_of_another_server() -> None:
    """A starting server removes every temporary table in its directory for them, whoever made it."""
    with running_server("mariadb") as server, running_server("mariadb") as other:
        for one in (server, other):
            one.run("prepare", databases=[{"name": "d"}], users=[{"name": "ada", "password": "p", "databases": [{"name": "d"}]}])
        with pymysql.connect(host=server.address, user="ada", password="p", database="d", ssl_disabled=True) as connection:
            cursor = connection.cursor()
            cursor.execute("CREATE TEMPORARY TABLE t (x INT) ENGINE=Aria")
            other.run("restart")
            cursor.execute("DROP TEMPORARY TABLE t")


def test_a_tenant_cannot_reach_the_server_itself(engine: Engine) -> None:
    server = engine.server
    databases = {"databases": [{"name": "first"}]} if engine.has_databases else {}
    server.run("create_users", users=[{"name": "mallory", "password": "p", **databases}])
    for attempt in ATTEMPTS[server.call("hello")["datastore"]]:
        with pytest.raises((pymysql.err.MySQLError, psycopg.Error, redis.RedisError)):
            attempt(server.address)
    server.run("delete_user", name="mallory")


def _mariadb(statement: str) -> Any:
    def attempt(address: str) -> None:
        with pymysql.connect(host=address, user="mallory", password="p", ssl_disabled=True) as connection:
            connection.cursor().execute(statement)

    return attempt


def _postgresql(statement: str, database: str = "first") -> Any:
    def attempt(address: str) -> None:
        with psycopg.connect(host=address, user="mallory", password="p", dbname=database) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    return attempt


def _redis(*command: str) -> Any:
    def attempt(address: str) -> None:
        with redis.Redis(host=address, username="mallory", password="p", retry=NO_RETRY) as client:
            client.execute_command(*command)

    return attempt


ATTEMPTS = {
    "mariadb": [
        _mariadb("SELECT LOAD_FILE('/etc/passwd') IS NULL OR (SELECT 1 FROM mysql.user)"),
        _mariadb("SELECT 1 INTO OUTFILE '/tmp/coffer-outfile'"),
        _mariadb("CREATE USER eve"),
        _mariadb("GRANT ALL ON *.* TO mallory"),
        _mariadb("SHUTDOWN"),
    ],
    "postgresql": [
        _postgresql("SELECT 1", database="postgres"),
        _postgresql("SELECT 1", database="template1"),
        _postgresql("COPY (SELECT 1) TO PROGRAM 'true'"),
        _postgresql("SELECT pg_read_file('/etc/passwd')"),
        _postgresql("CREATE ROLE eve"),
        _postgresql("SET ROLE os_admin"),
    ],
    "redis": [
        _redis("CONFIG", "GET", "*"),
        _redis("ACL", "LIST"),
        _redis("SHUTDOWN"),
        _redis("DEBUG", "SLEEP", "0"),
        _redis("REPLICAOF", "127.0.0.1", "1"),
        _redis("MODULE", "LIST"),
        _redis("MONITOR"),
    ],
}
