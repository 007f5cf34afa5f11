"""The unmodified `openstack database` command, with passwords of a real Keystone, against an API that `coffer openstack bootstrap` announced."""

import configparser
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest

from cli.ports import any_free
from tests.contract.clients.conftest import client_home, stack
from tests.contract.clients.openstack_cli import Cli, Refused
from tests.contract.keystone.conftest import VARIABLE
from tests.contract.keystone.world import Keystone
from tests.support.control_plane import announced
from tests.support.stack import Stack

__all__ = ["client_home", "stack"]

pytestmark = [pytest.mark.openstack, pytest.mark.engines, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[3]
BUILT_WITHIN = 180


def configured(stack: Stack, keystone: Keystone, port: int) -> Path:
    """The stack's configuration, for an API beside its own whose tokens are Keystone's."""
    conf = configparser.RawConfigParser(default_section="\0")
    conf.read(stack.state / "coffer.conf")
    conf["auth"]["strategy"] = "keystone"
    conf["api"].update({"public_endpoint": f"http://127.0.0.1:{port}", "bind_port": str(port)})
    service = keystone.users["dbaas"]
    conf["service_credentials"] = {**{k: v for k, v in service.items() if k != "project_id"}, "interface": "public"}
    path = stack.state / "keystone.conf"
    with path.open("w") as f:
        conf.write(f)
    return path


@pytest.fixture(scope="module")
def announced_api(stack: Stack, real_keystone: Keystone) -> Iterator[str]:
    port = any_free("127.0.0.1", set())
    config = configured(stack, real_keystone, port)
    log = (stack.state / "keystone-api.log").open("w")
    argv = ["-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--worker-class", "api.serving.Worker", "--threads", "4"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OS_CLIENT_CONFIG_FILE", os.environ[VARIABLE])
        process = subprocess.Popen(
            [sys.executable, *argv, "--no-control-socket", "api.app:from_config()"],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env={**os.environ, "COFFER_CONFIG": str(config)},
        )
        try:
            with openstack.connect(cloud="testbed-admin") as operator, announced(config, operator):
                yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)
            log.close()


def until(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + BUILT_WITHIN
    while not (found := true()):
        assert time.monotonic() < deadline, "did not come true in time"
    return found


def test_a_database_of_ones_own_project(announced_api: str) -> None:
    alice, bob = Cli("testbed-alice"), Cli("testbed-bob")
    assert alice.json("database", "instance", "list") == []
    flavor = alice.json("database", "flavor", "list")[0]["Name"]
    options = ("--flavor", flavor, "--size", "1", "--datastore", "redis")
    made = alice.json("database", "instance", "create", "of-alice", *options)
    shown = until(lambda: (one := alice.json("database", "instance", "show", made["id"]))["status"] != "BUILD" and one)
    assert (shown["status"], shown["name"]) == ("ACTIVE", "of-alice")
    assert [one["Name"] for one in alice.json("database", "instance", "list")] == ["of-alice"]

    assert bob.json("database", "instance", "list") == []
    for command in (("show",), ("delete",), ("restart",)):
        with pytest.raises(Refused, match=r"No instance|404|not found|cannot be found"):
            bob.run("database", "instance", *command, made["id"])
    with pytest.raises(Refused, match=r"403|Policy doesn't allow"):
        bob.run("database", "quota", "update", "project-b", "instances", "50")

    alice.run("database", "instance", "delete", "of-alice")
    until(lambda: alice.json("database", "instance", "list") == [])


def test_a_wrong_password_is_keystones_to_refuse(announced_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(Path(os.environ[VARIABLE]).read_text().replace("password: testbed", "password: wrong"))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
    with pytest.raises(Refused, match="401"):
        Cli("testbed-alice").run("database", "instance", "list")
