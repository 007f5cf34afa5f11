"""The real thing on this machine: `coffer up`, `down`, `demo` and `smoke` as a user runs them."""

import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli import processes
from cli.engines import ENGINES, Login, use
from cli.leftovers import of_machine
from cli.marks import marks
from cli.rest import Api, call, sign_in
from cli.statedir import StateDir
from cli.tenant import DATABASE, USER
from clouds.local import procfs

COFFER = [sys.executable, "-m", "cli.main"]
READY = re.compile(r"READY api=(http://127\.0\.0\.1:\d+) temporal=(127\.0\.0\.1:\d+) ui=(http://127\.0\.0\.1:\d+)\n")
ANY_PORTS = ["--api-port", "0", "--temporal-port", "0", "--ui-port", "0"]
PATIENCE = 60.0


def coffer(*words: str, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COFFER, *words], capture_output=True, text=True, timeout=timeout, check=False)


def until(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def pids(state: StateDir) -> dict[str, int]:
    found: dict[str, int] = json.loads(coffer("status", "--json", "--state", str(state.root)).stdout)["parts"]
    return found


def running(state: StateDir) -> list[int]:
    return [pid for mark in marks(state).values() for pid in processes.find(mark)]


def ended(pid: int) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], PATIENCE)[0])
    finally:
        os.close(handle)


@pytest.fixture
def state() -> Iterator[StateDir]:
    with new_state() as state:
        yield state


class new_state:  # used like a function
    """A directory that is short and open to engine users, and nothing of it afterwards."""

    def __enter__(self) -> StateDir:
        self.state = StateDir(Path(tempfile.mkdtemp(prefix="ce-", dir="/tmp")))
        self.state.root.rmdir()
        return self.state

    def __exit__(self, *_: object) -> None:
        if self.state.exists():
            done = coffer("down", "--purge", "--state", str(self.state.root))
            assert done.returncode == 0, done.stderr
        shutil.rmtree(self.state.root, ignore_errors=True)
        assert running(self.state) == []
        assert of_machine(self.state.root) == []


@pytest.fixture(scope="module")
def shared() -> Iterator[StateDir]:
    """One control plane for the tests that leave it usable."""
    with new_state() as state:
        start(state)
        yield state


def start(state: StateDir) -> tuple[str, str, str]:
    done = coffer("up", "--detach", *ANY_PORTS, "--state", str(state.root))
    assert done.returncode == 0, done.stderr
    ready = READY.fullmatch(done.stdout)
    assert ready, done.stdout
    return ready[1], ready[2], ready[3]


def datastores(api: Api) -> set[str]:
    return {datastore["name"] for datastore in api.get("/datastores")["datastores"]}


@pytest.mark.parametrize("cloud", ["coffer", "coffer-admin", "coffer-other"])
def test_every_cloud_signs_in_and_sees_the_datastores(shared: StateDir, cloud: str) -> None:
    assert datastores(sign_in(shared, cloud)) == {"mariadb", "postgresql", "redis"}


def test_a_second_up_says_that_it_runs_already(shared: StateDir) -> None:
    done = coffer("up", "--state", str(shared.root))
    assert done.returncode == 3
    assert "already runs" in done.stderr


@pytest.mark.parametrize("name", ["temporal", "api", "worker"])
def test_what_is_killed_comes_back(shared: StateDir, name: str) -> None:
    victim = pids(shared)[name]
    os.kill(victim, signal.SIGKILL)
    until(f"{name} is back", lambda: pids(shared)[name] not in (victim, None))
    until("the API answers", lambda: datastores(sign_in(shared)) != set())


def test_what_new_servers_are_copied_from_is_there_once_it_is_up(shared: StateDir) -> None:
    assert len(list(shared.cloud.glob("images/mariadb-*/template.json"))) == 1


def test_temporal_was_told_of_the_search_attributes(shared: StateDir) -> None:
    done = coffer("temporal", "setup", "--json", "--state", str(shared.root))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["made"] == []
    assert len(json.loads(done.stdout)["there"]) == 6


def test_up_and_status_say_the_same_in_json(state: StateDir) -> None:
    done = coffer("up", "--detach", "--json", *ANY_PORTS, "--state", str(state.root))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["usable"], told["servers"], set(told["parts"])) == (True, 0, {"temporal", "api", "worker"})
    assert told == json.loads(coffer("status", "--json", "--state", str(state.root)).stdout)
    assert READY.search(done.stderr)


def test_a_claim_of_https_from_loopback_changes_no_link(shared: StateDir) -> None:
    api = sign_in(shared)
    url = api.url.rpartition("/v1.0/")[0]
    body, _ = call("GET", url, None, {"X-Forwarded-Proto": "https"})
    assert "https" not in json.dumps(body)


def test_two_state_directories_run_side_by_side(shared: StateDir, state: StateDir) -> None:
    start(state)
    assert datastores(sign_in(state)) == datastores(sign_in(shared))
    assert sign_in(state).url != sign_in(shared).url
    assert coffer("down", "--state", str(state.root)).returncode == 0
    assert running(state) == []
    assert len(running(shared)) >= 3


def test_a_killed_supervisor_leaves_nothing_that_a_new_one_can_not_take_over(state: StateDir) -> None:
    first = start(state)
    supervisor = state.holder()
    assert supervisor is not None
    before = set(running(state))
    os.kill(supervisor, signal.SIGKILL)
    assert ended(supervisor)
    assert start(state) == first
    assert before.isdisjoint(running(state))
    assert coffer("down", "--state", str(state.root)).returncode == 0
    assert running(state) == []


def test_ctrl_c_stops_a_control_plane_in_the_foreground(state: StateDir) -> None:
    up = subprocess.Popen(
        [*COFFER, "up", *ANY_PORTS, "--state", str(state.root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert up.stdout is not None
    assert READY.fullmatch(up.stdout.readline())
    up.send_signal(signal.SIGINT)
    out, err = up.communicate(timeout=60)
    assert (up.returncode, out) == (0, "")
    assert re.search("stopping worker.*stopping api.*stopping temporal", err, re.DOTALL)
    assert running(state) == []


def test_a_busy_port_is_named_before_anything_is_changed(state: StateDir) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        done = coffer("up", "--api-port", str(port), "--state", str(state.root))
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "--api-port" in done.stderr
    assert "Traceback" not in done.stderr
    assert not state.root.exists()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_makes_a_database_that_outlives_the_control_plane(state: StateDir) -> None:
    first = demo(state)
    assert "1 visit recorded" in first
    assert running(state) == []

    memory = json.loads((state.root / "demo.json").read_text())
    [host] = set(re.findall(r"mysql://\w+:[^@]+@([\d.]+):3306", first))
    login = Login(host, USER, memory["password"], DATABASE)
    assert use(ENGINES["mariadb"], login).visits == 2

    again = demo(state)
    assert "is there from the last time" in again
    assert "3 visits recorded" in again

    for server in (state.cloud / "servers").glob("*/run"):  # what a reboot of the machine leaves of a server
        assert procfs.kill_server(server.parent, login.host, 10)
    assert "4 visits recorded" in demo(state)


def demo(state: StateDir) -> str:
    """Runs until it stays up, then Ctrl-C; gives what it printed."""
    process = subprocess.Popen([*COFFER, "demo", *ANY_PORTS, "--state", str(state.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Coffer runs." in line:
            process.send_signal(signal.SIGINT)
            break
    lines += process.stdout.readlines()
    assert process.wait(60) == 0, "".join(lines)
    return "".join(lines)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_smoke_run_passes_with_every_engine() -> None:
    done = coffer("smoke", "--json", timeout=280)
    assert done.returncode == 0, done.stderr
    timings = json.loads(done.stdout)["engines"]
    assert set(timings) == {"mariadb", "postgresql", "redis"}
    assert all(set(stages) == {"create", "use", "restart", "use again", "delete"} for stages in timings.values())


@pytest.mark.slow
def test_a_smoke_run_that_is_told_to_end_clears_away_though_nobody_listens() -> None:
    smoke = subprocess.Popen(
        [*COFFER, "smoke", "--engine", "redis"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert smoke.stderr is not None
    said = list(iter(smoke.stderr.readline, "redis 7.0: create\n"))
    [directory] = re.findall(r"state in (\S+)", "".join(said))
    smoke.stderr.close()
    smoke.send_signal(signal.SIGTERM)
    assert smoke.wait(60) != 0
    assert not Path(directory).exists()
    assert of_machine(Path(directory)) == []
