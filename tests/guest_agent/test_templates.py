"""MariaDB servers from a prepared data directory: the same as those that were installed one by one."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.guest_agent.engines import MariaDB
from tests.guest_agent.server import ROOT, Server, running_server, until
from tests.guest_agent.test_crashes import Ordeal

pytestmark = pytest.mark.engines

ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
USER = {"name": "ada", "password": "p", "databases": [{"name": "first"}]}
SPEC: dict[str, Any] = {"databases": [{"name": "first"}], "users": [USER]}
REDO_LOG = "ib_logfile0"


@contextmanager
def empty_directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="ct", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def maker(directory: Path) -> "subprocess.Popen[str]":
    """The program that a builder of images runs, in a session of its own."""
    argv = [sys.executable, "-m", "guest_agent.template", "mariadb", str(directory)]
    return subprocess.Popen(argv, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, cwd="/", start_new_session=True)


def make(directory: Path) -> Path:
    with maker(directory) as program:
        printed, _ = program.communicate(timeout=60)
    assert program.returncode == 0
    return Path(printed.strip())


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    with empty_directory() as directory:
        yield make(directory)


@pytest.fixture
def damaged(template: Path) -> Iterator[Path]:
    """A template that has lost its end."""
    with empty_directory() as directory:
        copy = directory / template.name
        shutil.copytree(template, copy)
        os.truncate(copy / "data" / "ibdata1", 1 << 20)
        yield copy


def was_copied(server: Server, template: Path) -> bool:
    return f"copied from template {template.name}" in (server.path / "log" / "agent.log").read_text()


def contents(data: Path) -> dict[str, tuple[int, int, int]]:
    """What lies in a data directory, to whom it belongs, and who may read it; but what comes and goes as the server runs."""
    found = {str(path.relative_to(data)): path.stat() for path in data.rglob("*")}
    kept = {name: s for name, s in found.items() if not name.startswith(("mysql_upgrade_info", "ibtmp", "ib_buffer_pool"))}
    return {name: (s.st_mode, s.st_uid, s.st_gid) for name, s in kept.items()}


def test_a_copied_server_is_as_an_installed_one(template: Path) -> None:
    with running_server("mariadb", template_dir=template.parent) as copied, running_server("mariadb") as installed:
        for server in (copied, installed):
            server.run("prepare", **SPEC)
            MariaDB(server).log_in("ada", "p", "first")
        assert was_copied(copied, template)
        assert not was_copied(installed, template)
        assert MariaDB(copied).inventory() == MariaDB(installed).inventory()
        for server in (copied, installed):
            server.run("stop")
        directories = [server.path / "data" / "data" for server in (copied, installed)]
        assert contents(directories[0]) == contents(directories[1])
        sizes = [(directory / REDO_LOG).stat() for directory in directories]
        assert sizes[0].st_size == sizes[1].st_size > 16 << 20
        assert sizes[0].st_blocks * 512 >= sizes[0].st_size
        assert "crash recovery" not in (copied.path / "log" / "engine.log").read_text()


def test_servers_share_nothing_with_their_template_and_no_secret_is_in_it(template: Path) -> None:
    before = {path: path.read_bytes() for path in template.rglob("*") if path.is_file()}
    with running_server("mariadb", template_dir=template.parent) as server:
        server.run("prepare", **SPEC)
        MariaDB(server).log_in("ada", "p", "first")
        password = MariaDB(server).admin_password().encode()
    assert {path: path.read_bytes() for path in template.rglob("*") if path.is_file()} == before
    assert [path for path, content in before.items() if password in content or b"os_admin" in content] == []


@pytest.mark.parametrize("moment", ["_copy_file", "sync_filesystem", "after"])
def test_an_agent_that_dies_while_it_copies_copies_again(template: Path, moment: str) -> None:
    with running_server("mariadb", agent_module="tests.guest_agent.mortal_agent", template_dir=template.parent) as server:
        Ordeal(server).run("prepare", ["initialise"], [moment], **SPEC)
        assert was_copied(server, template)
        MariaDB(server).log_in("ada", "p", "first")
        assert sorted(path.name for path in (server.path / "data").iterdir()) == ["data", "files", "tmp"]


def test_a_server_that_dies_while_its_redo_log_gets_its_size_comes_up_again(template: Path) -> None:
    with running_server("mariadb", template_dir=template.parent) as server:
        job = server.start("prepare", **SPEC)
        resized = server.path / "data" / "data" / REDO_LOG
        until(lambda: resized.exists() and (resized.with_name("ib_logfile101").exists() or resized.stat().st_size > 16 << 20))
        server.power_off()
        server.boot()
        assert server.wait(job)["state"] == "succeeded"
        MariaDB(server).log_in("ada", "p", "first")


def test_an_installation_shares_no_temporary_tables_with_other_servers() -> None:
    """A server that starts meanwhile would remove them, and the installation would fail."""
    with running_server("mariadb") as server:
        job = server.start("prepare", **SPEC)
        temporary = until(lambda: next((server.path / "data").glob("data.*.tmp"), None))
        until(lambda: f"--tmpdir={temporary}".encode() in command_lines())
        assert server.wait(job)["state"] == "succeeded"
        assert not temporary.exists()


def command_lines() -> bytes:
    found = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += path.read_bytes()
    return found


def test_a_truncated_template_is_not_there(damaged: Path) -> None:
    with running_server("mariadb", template_dir=damaged.parent) as server:
        server.run("prepare", **SPEC)
        assert not was_copied(server, damaged)
        MariaDB(server).log_in("ada", "p", "first")


def test_a_template_of_another_version_is_not_used(damaged: Path) -> None:
    manifest = json.loads((damaged / "template.json").read_text())
    manifest["identity"]["server"] = manifest["identity"]["server"].replace("10.11", "10.6")
    (damaged / "template.json").write_text(json.dumps(manifest))
    with running_server("mariadb", template_dir=damaged.parent) as server:
        server.run("prepare", **SPEC)
        assert not was_copied(server, damaged)
        MariaDB(server).log_in("ada", "p", "first")


def test_a_killed_maker_leaves_nothing_that_is_taken_for_a_template() -> None:
    with empty_directory() as directory:
        with maker(directory) as program:
            until(lambda: next(directory.glob(".mariadb-*/filled/*"), None))
            os.killpg(program.pid, signal.SIGKILL)
        assert list(directory.glob("mariadb-*")) == []
        made = make(directory)
        assert sorted(path.name for path in directory.iterdir()) == [".lock", made.name]


def test_two_makers_make_one_template() -> None:
    with empty_directory() as directory, maker(directory) as first, maker(directory) as second:
        made = [program.communicate(timeout=60)[0] for program in (first, second)]
        assert made[0] == made[1]
        assert sorted(path.name for path in directory.iterdir()) == [".lock", Path(made[0].strip()).name]


@pytest.mark.parametrize("manager", ["postgresql", "redis"])
def test_other_engines_have_no_template(manager: str) -> None:
    argv = [sys.executable, "-m", "guest_agent.template", manager, "/nonexistent"]
    refused = subprocess.run(argv, env=ENVIRONMENT, capture_output=True, text=True, cwd="/", check=False)
    assert refused.returncode == 2
    assert "mariadb" in refused.stderr
