"""What commands say and how they end, without anything running."""

import json
import pwd
import re
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import account, parts, provision
from cli.errors import ALREADY_RUNNING, FAILED, NOT_RUNNING, CliError
from cli.main import COMMANDS, main
from cli.ports import Ports
from cli.statedir import StateDir, read_json


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    state = StateDir(tmp_path)
    monkeypatch.setattr("cli.commands.run.resolve", lambda _path: state)
    monkeypatch.setattr("cli.deployment.resolve", lambda _path: state)
    monkeypatch.setattr("cli.commands.operation.resolve", lambda _path: state)
    return state


@pytest.fixture
def provisioned(state: StateDir) -> StateDir:
    provision.prepare(state, "127.0.0.1", Ports(10001, 10002, 10003))
    return state


def coffer(*words: str) -> Result:
    result = CliRunner().invoke(main, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_help_names_every_command_and_loads_none() -> None:
    begin = time.process_time()
    said = coffer("--help").output
    assert all(name in said for name in COMMANDS)
    assert time.process_time() - begin < 1.0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    assert "Usage:" in coffer(name, "--help").output


def test_status_of_nothing_is_not_running(state: StateDir) -> None:
    result = coffer("status", "--json")
    assert result.exit_code == NOT_RUNNING
    assert json.loads(result.stdout)["running"] is False


def test_status_is_a_table_of_parts_with_their_addresses(provisioned: StateDir) -> None:
    provision.write_config(provisioned, "127.0.0.2", Ports(10001, 10002, 10003))
    result = coffer("status")
    assert result.exit_code == NOT_RUNNING
    lines = [re.split(r"\s{2,}", line.strip()) for line in result.stdout.splitlines()]
    assert ["control plane", "stopped"] in lines
    assert ["database servers", "0"] in lines
    assert ["web UI", "http://127.0.0.2:10003"] in lines
    assert ["api", "stopped", "http://127.0.0.2:10001"] in lines
    assert ["temporal", "stopped", "127.0.0.2:10002"] in lines
    assert "{" not in result.stdout
    told = json.loads(coffer("status", "--json").stdout)
    assert (told["servers"], told["ports"]) == (0, {"api": 10001, "temporal": 10002, "ui": 10003})


def test_down_of_nothing_is_fine(state: StateDir) -> None:
    assert coffer("down").exit_code == 0


def test_purge_removes_nothing_that_is_not_coffers(state: StateDir) -> None:
    (state.root / "thesis.txt").write_text("x")
    result = coffer("down", "--purge")
    assert result.exit_code == FAILED
    assert (state.root / "thesis.txt").exists()


def test_purge_removes_a_directory_that_is(provisioned: StateDir) -> None:
    assert coffer("down", "--purge").exit_code == 0
    assert not provisioned.root.exists()


def test_a_second_start_says_that_it_runs(provisioned: StateDir) -> None:
    with provisioned.held():
        result = coffer("up")
    assert result.exit_code == ALREADY_RUNNING
    assert "already runs" in result.stderr
    assert f"coffer down --state {provisioned.root}\n" in result.stderr


def test_a_missing_program_is_named_with_its_package(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "find_program", lambda name: None if name == "redis-server" else name)
    monkeypatch.setattr("cli.start.check_usable", lambda _state: None)
    result = coffer("up")
    assert result.exit_code == FAILED
    assert "redis-server" in result.stderr
    assert "apt-get install redis-server" in result.stderr
    assert list(state.root.iterdir()) == []


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/bin/false", "/nonexistent/sh"])
def test_an_account_without_a_login_shell_is_told_so(state: StateDir, monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    nobody = pwd.struct_passwd(("nobody", "x", 65534, 65534, "nobody", "/nonexistent", shell))
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: nobody)
    monkeypatch.setattr("cli.start.check_usable", lambda _state: None)
    result = coffer("up")
    assert result.exit_code == FAILED
    assert f"the login shell of nobody, {shell}, runs no commands" in result.stderr
    assert list(state.root.iterdir()) == []


def test_a_user_without_an_account_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 4_000_000_000)
    with pytest.raises(CliError, match="has no account"):
        account.check()


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash", ""])
def test_a_usual_login_shell_is_fine(monkeypatch: pytest.MonkeyPatch, shell: str) -> None:
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: pwd.struct_passwd(("ada", "x", 1000, 1000, "", "/home/ada", shell)))
    account.check()


def test_a_foreign_address_is_refused(state: StateDir) -> None:
    result = coffer("up", "--host", "0.0.0.0")  # noqa: S104
    assert result.exit_code == FAILED
    assert "other machines" in result.stderr
    assert list(state.root.iterdir()) == []


def test_without_a_configuration_the_way_to_one_is_named(state: StateDir) -> None:
    result = coffer("datastore", "list")
    assert result.exit_code == FAILED
    assert "coffer up" in result.stderr


def test_operations_of_a_stopped_coffer_say_so(provisioned: StateDir) -> None:
    result = coffer("operation", "list")
    assert result.exit_code == FAILED
    assert "coffer up" in result.stderr


def test_datastores_can_be_registered_and_made_the_default(provisioned: StateDir) -> None:
    assert "registered" in coffer("datastore", "register", "mysql", "8.0").output
    assert "unchanged" in coffer("datastore", "register", "mysql", "8.0").output
    assert "changed" in coffer("datastore", "register", "mysql", "8.0", "--image", "abc").output
    assert coffer("datastore", "register", "mysql", "8.4", "--default").exit_code == 0
    rows = {
        row["version"]: row for row in json.loads(coffer("datastore", "list", "--json").stdout) if row["datastore"] == "mysql"
    }
    assert {version: row["default"] for version, row in rows.items()} == {"8.0": False, "8.4": True}
    assert rows["8.0"]["image"] == "abc"


def test_a_flavor_is_added_once(provisioned: StateDir) -> None:
    assert coffer("flavor", "add", "9", "db.huge", "--ram", "65536").exit_code == 0
    again = coffer("flavor", "add", "9", "other", "--ram", "64")
    assert again.exit_code == FAILED
    assert "db.huge" in again.stderr
    assert {"id": "9", "name": "db.huge", "ram_mb": 65536, "vcpus": 1, "disk_gb": 5} in json.loads(
        coffer("flavor", "list", "--json").stdout
    )


def test_quotas_are_set_by_the_projects_name(provisioned: StateDir) -> None:
    assert coffer("quota", "set", "coffer-other", "instances", "3").exit_code == 0
    assert coffer("quota", "set", "coffer-other", "ram", "--", "-1").exit_code == 0
    rows = {row["resource"]: row for row in json.loads(coffer("quota", "show", "coffer-other", "--json").stdout)}
    assert (rows["instances"]["limit"], rows["instances"]["own"], rows["volumes"]["own"]) == (3, True, False)
    assert "coffer-other" in coffer("quota", "show", "coffer-othr").stderr


def test_what_has_been_set_and_stopped_is_told_in_json_too(provisioned: StateDir) -> None:
    added = coffer("flavor", "add", "9", "db.huge", "--ram", "65536", "--json").stdout
    assert json.loads(added) in json.loads(coffer("flavor", "list", "--json").stdout)
    quota = json.loads(coffer("quota", "set", "coffer-other", "ram", "--json", "--", "-1").stdout)
    [other] = [p["id"] for p in read_json(provisioned.identity)["projects"] if p["name"] == "coffer-other"]
    assert quota == {"project_id": other, "resource": "ram", "limit": -1}
    down = json.loads(coffer("down", "--json").stdout)
    assert down == {"state": str(provisioned.root), "stopped": False, "purged": False, "removed_servers": None}
    down = json.loads(coffer("down", "--purge", "--json").stdout)
    assert (down["purged"], down["removed_servers"], provisioned.root.exists()) == (True, 0, False)


def test_up_in_the_foreground_has_no_json(state: StateDir) -> None:
    assert "--detach" in coffer("up", "--json").stderr
    assert list(state.root.iterdir()) == []


def test_the_schema_is_told_and_taken_back(provisioned: StateDir) -> None:
    shown = json.loads(coffer("db", "revision", "--json").stdout)
    assert shown["pending"] == []
    assert coffer("db", "downgrade", "base").exit_code == 0
    assert json.loads(coffer("db", "revision", "--json").stdout)["pending"][-1] == shown["revision"]
    assert f"coffer db upgrade --state {provisioned.root} brings" in coffer("datastore", "list").stderr
    assert coffer("db", "upgrade").exit_code == 0
    assert coffer("db", "upgrade", "nonsense").exit_code == FAILED


def test_hints_name_a_configuration_that_is_in_no_state_directory(provisioned: StateDir) -> None:
    elsewhere = provisioned.root / "my coffer.conf"
    elsewhere.write_text(provisioned.config.read_text())
    assert coffer("db", "downgrade", "base").exit_code == 0
    assert f"coffer db upgrade --config '{elsewhere}' brings" in coffer("flavor", "list", "--config", str(elsewhere)).stderr


def test_hints_on_the_usual_directory_do_not_name_it(provisioned: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.statedir.default", lambda: provisioned.root)
    with provisioned.held():
        assert "coffer status, or coffer down\n" in coffer("up").stderr


def test_a_keyring_is_kept(provisioned: StateDir) -> None:
    before = provisioned.keyring.read_text()
    assert "there already" in coffer("db", "keyring").output
    assert provisioned.keyring.read_text() == before
