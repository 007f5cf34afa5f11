"""What a state directory holds, and which ones are refused before anything is in them."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from alembic.script import ScriptDirectory

import config
from cli import addresses, catalog, provision, schema
from cli.errors import CliError
from cli.ports import Ports
from cli.statedir import LONGEST, StateDir, check_usable, read_json, resolve
from messaging.service import Messaging
from migrations import runner
from models import Database
from security import keyring

PORTS = Ports(10001, 10002, 10003)
HOST = "127.0.0.1"


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path / "s")
    provision.prepare(state, HOST, PORTS)
    return state


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_private_and_engines_can_pass(state: StateDir) -> None:
    assert mode(state.root) == 0o755
    assert {
        path.name
        for path in (state.config, state.keyring, state.identity, state.clouds, state.database, state.messages)
        if mode(path) != 0o600
    } == set()


def pools(state: StateDir) -> Messaging:
    return Messaging(Database(f"sqlite:///{state.database}"), keyring.load(state.keyring))


def test_messages_have_a_pool_from_the_beginning(state: StateDir) -> None:
    provision.prepare(state, HOST, PORTS)
    [pool] = pools(state).pools.list().items
    assert (pool.name, pool.uri, pool.flavor) == ("default", f"sqlite:///{state.messages}", None)


def test_pools_that_an_administrator_has_registered_are_enough(state: StateDir, tmp_path: Path) -> None:
    messaging = pools(state)
    messaging.pools.put("mine", {"uri": f"sqlite:///{tmp_path}/mine.db", "weight": 1})
    messaging.pools.delete("default")
    provision.prepare(state, HOST, PORTS)
    assert [pool.name for pool in messaging.pools.list().items] == ["mine"]


def test_the_configuration_is_what_api_and_worker_load(state: StateDir) -> None:
    conf = config.load(state.config)
    assert conf.database.connection == f"sqlite:///{state.database}"
    assert (conf.api.bind_host, conf.api.bind_port, conf.temporal.address) == (HOST, 10001, "127.0.0.1:10002")
    assert conf.cloud.local_directory == str(state.cloud)
    assert addresses.ports_before(state) == PORTS


def test_a_second_start_keeps_users_keys_and_what_was_added(state: StateDir) -> None:
    before = {path: path.read_text() for path in (state.identity, state.keyring)}
    state.config.write_text(state.config.read_text() + "\n[quota]\ninstances = 77\n\n[DEFAULT]\nlog_level = DEBUG\n")
    provision.prepare(state, HOST, Ports(11001, 11002, 11003))
    conf = config.load(state.config)
    assert (conf.quota.instances, conf.log_level, conf.api.bind_port) == (77, "DEBUG", 11001)
    assert {path: path.read_text() for path in before} == before


def test_the_default_datastore_is_one_that_is_there_until_an_operator_says_otherwise(state: StateDir) -> None:
    assert config.load(state.config).default_datastore == "mariadb"
    for wanted in ("redis", ""):
        state.config.write_text(f"{state.config.read_text()}\n[DEFAULT]\ndefault_datastore = {wanted}\n")
        provision.prepare(state, HOST, PORTS)
        assert config.load(state.config).default_datastore == wanted


def test_three_clouds_sign_in_at_the_development_identity(state: StateDir) -> None:
    clouds = yaml.safe_load(state.clouds.read_text())["clouds"]
    users = {user["name"]: user for user in read_json(state.identity)["users"]}
    assert set(clouds) == set(users) == {"coffer", "coffer-admin", "coffer-other"}
    assert {cloud["auth"]["auth_url"] for cloud in clouds.values()} == {"http://127.0.0.1:10001/identity/v3"}
    assert all(clouds[name]["auth"]["password"] == user["password"] for name, user in users.items())
    assert users["coffer"]["project_id"] == users["coffer-admin"]["project_id"] != users["coffer-other"]["project_id"]
    assert [name for name, user in users.items() if "admin" in user["roles"]] == ["coffer-admin"]
    assert len({user["password"] for user in users.values()}) == 3


def test_the_catalogue_is_there_once_however_often_it_is_seeded(state: StateDir) -> None:
    provision.prepare(state, HOST, PORTS)
    database = Database(provision.database_url(state))
    with database.read() as s:
        offered = [(d.name, v.version, v.manager, d.default_version_id == v.id) for d, v in catalog.versions(s)]
        flavors = [(f.id, f.ram_mb) for f in catalog.flavors(s)]
    database.close()
    assert offered == [
        ("mariadb", "10.11", "mariadb", True),
        ("postgresql", "15", "postgresql", True),
        ("redis", "7.0", "redis", True),
    ]
    assert flavors[0] == ("1", 512)
    assert len(flavors) == 5


REVISION = "from alembic import op\nrevision = 'zz'\ndown_revision = '{head}'\ndef upgrade(): {does}\n"
BROKEN = {
    "of a chain with a gap": (REVISION.format(head="gone", does="pass"), "Revision gone .* is not present"),
    "no Python": ("def (", r"SyntaxError: .*zz\.py, line 1"),
    "not a migration": ("x = 1", "Could not determine revision id"),
    "failing": (REVISION.format(head="{head}", does="nonsense"), r"zz\.py, line 4: NameError: name 'nonsense'"),
    "bad SQL": (REVISION.format(head="{head}", does="op.execute('nonsense')"), "the database says: near"),
    "another head": (REVISION.format(head="0001", does="pass"), "Multiple head revisions"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_migration_that_is_broken_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    copy = tmp_path / "migrations"
    shutil.copytree(Path(runner.__file__).parent, copy)
    monkeypatch.setattr(runner, "__file__", str(copy / "runner.py"))
    monkeypatch.setattr(schema, "SCRIPTS", copy / "versions")
    script, says = BROKEN[kind]
    head = ScriptDirectory.from_config(runner._config()).get_current_head()
    (copy / "versions" / "zz.py").write_text(script.replace("{head}", str(head)))
    with pytest.raises(CliError, match=says) as told:
        provision.prepare(StateDir(tmp_path / "s"), HOST, PORTS)
    assert "\n" not in told.value.message


def test_a_database_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.database.write_text("no database at all")
    with pytest.raises(CliError, match="the database says: file is not a database"):
        provision.prepare(state, HOST, PORTS)


def test_a_long_path_is_refused() -> None:
    with pytest.raises(CliError, match=f"{LONGEST} is the most"):
        resolve("/tmp/" + "x" * LONGEST)


@pytest.mark.parametrize("path", ["/tmp/with space", "/tmp/a$b", "/tmp/q?x", "/tmp/100%"])
def test_a_path_that_configuration_can_not_hold_is_refused(path: str) -> None:
    with pytest.raises(CliError, match="characters"):
        resolve(path)


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(CliError, match="not Coffer's"):
        check_usable(StateDir(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    with pytest.raises(CliError, match="is not a directory"):
        check_usable(StateDir(tmp_path / "f" / "s"))


@pytest.fixture
def closed() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cu-", dir="/tmp") as directory:
        yield Path(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's engines run as other users")
def test_as_root_engines_must_get_through(closed: Path) -> None:
    with pytest.raises(CliError, match=f"can't pass through {closed}"):
        check_usable(StateDir(closed / "s"))
