"""The small init: readiness, restarts, order, orphans, power loss."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.guest_agent.engines import rss_kb
from tests.guest_agent.server import RpcError, Server, until

# A unit that leaves a line in a file when it begins and when it is asked to end.
DIARIST = """
import os, signal, sys, time
def write(word): open(sys.argv[1], "a").write(word + " " + sys.argv[2] + "\\n")
def end(*_): write("end"); sys.exit(0)
signal.signal(signal.SIGTERM, end)
write("begin")
while True: signal.pause()
"""
READY = """
import os, socket
def tell(message):
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(message, "\\0" + os.environ["NOTIFY_SOCKET"][1:])
"""


def python(source: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", source, *arguments]


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def define(server: Server, name: str, **unit: Any) -> None:
    with server.init_client() as init:
        init.call("define", name=name, unit=unit)


def ask(server: Server, method: str, name: str) -> Any:
    with server.init_client() as init:
        return init.call(method, name=name)


def test_runs_enabled_units_at_boot_and_stops_them_in_reverse_order(bare_server: Server) -> None:
    diary = bare_server.path / "diary"
    for name, enabled in (("first", True), ("idle", False), ("last", True)):
        bare_server.write_unit(name, argv=python(DIARIST, str(diary), name), enabled=enabled)
    bare_server.boot()
    until(lambda: diary.exists() and len(diary.read_text().splitlines()) == 2)
    bare_server.shut_down()
    lines = diary.read_text().splitlines()
    assert sorted(lines[:2]) == ["begin first", "begin last"]
    assert lines[2:] == ["end last", "end first"]


def test_restarts_what_dies(stub: Server) -> None:
    define(stub, "unit", argv=["sleep", "1000"])
    ask(stub, "start", "unit")
    pid = stub.pid("unit")
    os.kill(pid, signal.SIGKILL)
    # Its pid file is away in between, and the death may not have been noticed yet.
    again = until(lambda: (now := ask(stub, "status", "unit"))["state"] == "running" and now["pid"] != pid and now)
    assert again["exit_code"] == -signal.SIGKILL


def test_counts_the_deaths_that_nobody_asked_for(stub: Server) -> None:
    define(stub, "unit", argv=["sleep", "1000"])
    ask(stub, "start", "unit")
    ask(stub, "restart", "unit")
    assert ask(stub, "status", "unit")["deaths"] == 0
    os.kill(stub.pid("unit"), signal.SIGKILL)
    until(lambda: ask(stub, "status", "unit")["deaths"] == 1)
    ask(stub, "start", "unit")
    define(stub, "unit", argv=["sleep", "1000"], enabled=False)
    ask(stub, "stop", "unit")
    status = ask(stub, "status", "unit")
    assert (status["state"], status["deaths"], status["enabled"]) == ("stopped", 1, False)


@pytest.mark.parametrize(
    ("policy", "status", "starts_again"),
    [("always", 0, True), ("on-failure", 0, False), ("on-failure", 3, True), ("no", 3, False)],
)
def test_restart_policy(stub: Server, policy: str, status: int, starts_again: bool) -> None:
    starts = stub.path / "starts"
    define(stub, "unit", argv=["sh", "-c", f"echo >> {starts}; exit {status}"], restart=policy)
    ask(stub, "start", "unit")
    if starts_again:
        until(lambda: starts.exists() and len(starts.read_text()) >= 2)
    else:
        until(lambda: ask(stub, "status", "unit")["exit_code"] == status)
        # A restart would have a deadline; what has none does not come back.
        assert ask(stub, "status", "unit")["state"] == ("stopped" if status == 0 else "failed")
        assert len(starts.read_text()) == 1


def test_start_of_a_notify_unit_returns_when_it_is_ready(stub: Server) -> None:
    mark = stub.path / "mark"
    source = READY + f"import time; time.sleep(0.2); open({str(mark)!r}, 'w'); tell(b'READY=1'); time.sleep(1000)"
    define(stub, "unit", argv=python(source), type="notify")
    ask(stub, "start", "unit")
    assert mark.exists()


def test_start_tells_why_it_failed_and_is_not_repeated(stub: Server) -> None:
    starts = stub.path / "starts"
    define(stub, "unit", argv=["sh", "-c", f"echo >> {starts}; exit 7"], type="notify")
    with pytest.raises(RpcError, match="status 7") as caught:
        ask(stub, "start", "unit")
    assert caught.value.type == "StartFailed"
    assert ask(stub, "status", "unit")["state"] == "failed"
    define(stub, "missing", argv=["/no/such/program"])
    with pytest.raises(RpcError, match="No such file"):
        ask(stub, "start", "missing")
    assert len(starts.read_text()) == 1


def test_start_gives_up_after_its_timeout_and_more_time_can_be_asked_for(stub: Server) -> None:
    define(stub, "silent", argv=["sleep", "1000"], type="notify", start_timeout=0.2)
    with pytest.raises(RpcError, match="not ready within"):
        ask(stub, "start", "silent")
    source = READY + "import time; tell(b'EXTEND_TIMEOUT_USEC=20000000'); time.sleep(0.6); tell(b'READY=1'); time.sleep(1000)"
    define(stub, "slow", argv=python(source), type="notify", start_timeout=0.4)
    ask(stub, "start", "slow")


def test_only_the_units_own_user_can_say_that_it_is_ready(stub: Server) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    source = READY + "import time; os.setuid(65534); tell(b'READY=1'); time.sleep(1000)"
    define(stub, "unit", argv=python(source), type="notify", start_timeout=0.3)
    with pytest.raises(RpcError, match="not ready within"):
        ask(stub, "start", "unit")


def test_a_unit_that_ignores_its_stop_signal_is_killed(stub: Server) -> None:
    define(stub, "unit", argv=["sh", "-c", "trap '' TERM; while true; do sleep 1000 & wait; done"], stop_timeout=0.2)
    ask(stub, "start", "unit")
    pid = stub.pid("unit")
    ask(stub, "stop", "unit")
    assert not alive(pid)
    assert ask(stub, "status", "unit")["state"] == "stopped"


def test_runs_as_the_units_user_with_its_groups_limits_and_environment(stub: Server) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    log = stub.path / "log" / "unit.log"
    command = "id -un; id -G; ulimit -f; cat /proc/self/status | grep NoNewPrivs; env; cat"
    define(
        stub,
        "unit",
        argv=["sh", "-c", command],
        user="postgres",
        restart="no",
        env={"COLOUR": "blue"},
        limits={"fsize": 1024000},
        log=str(log),
    )
    ask(stub, "start", "unit")
    until(lambda: ask(stub, "status", "unit")["exit_code"] == 0)
    user, groups, fsize, *rest = log.read_text().splitlines()
    account_groups = os.popen("id -G postgres").read().split()  # noqa: S605 - a constant
    assert (user, groups.split()) == ("postgres", account_groups)
    assert int(fsize) in (1000, 2000)
    variables = dict(line.split("=", 1) for line in rest if "=" in line)
    assert variables["COLOUR"] == "blue"
    assert variables["COFFER_SERVER"] == str(stub.path)
    assert variables["HOME"] == "/var/lib/postgresql"
    assert "PYTHONPATH" not in variables


def test_adopts_and_reaps_orphans_and_ends_them_with_the_server(stub: Server) -> None:
    file = stub.path / "orphan"
    # A grandchild in a session of its own, whose parent ends at once.
    define(stub, "unit", argv=["sh", "-c", f"setsid sleep 1000 & echo $! > {file}; sleep 0.1"], restart="no")
    ask(stub, "start", "unit")
    until(lambda: ask(stub, "status", "unit")["exit_code"] == 0)
    orphan = int(file.read_text())
    assert alive(orphan)
    assert f"PPid:\t{stub.pid('init')}\n" in Path(f"/proc/{orphan}/status").read_text()
    stub.shut_down()
    assert not alive(orphan)


def test_what_is_left_of_a_units_group_ends_with_the_unit(stub: Server) -> None:
    file = stub.path / "left"
    define(stub, "unit", argv=["sh", "-c", f"sleep 1000 & echo $! > {file}"], restart="no")
    ask(stub, "start", "unit")
    until(lambda: file.exists() and file.read_text())
    until(lambda: not alive(int(file.read_text())))


def test_power_loss_ends_everything_and_boot_brings_back_what_is_enabled(stub: Server) -> None:
    stub.run("prepare", databases=[{"name": "kept"}])
    first = stub.call("hello")
    pids = [stub.pid("agent"), stub.pid("engine")]
    stub.power_off()
    until(lambda: not any(alive(pid) for pid in pids))
    stub.boot()
    until(lambda: stub.call("hello")["engine"] == "running")
    assert stub.call("databases.list")["databases"] == [{"name": "kept"}]
    assert stub.call("hello")["boot_id"] != first["boot_id"]


def test_a_stopped_engine_stays_stopped_over_a_boot(stub: Server) -> None:
    stub.run("prepare")
    stub.run("stop")
    stub.shut_down()
    stub.boot()
    assert stub.call("engine.status")["state"] == "stopped"
    stub.run("start")
    assert stub.call("engine.status")["state"] == "running"


def test_refuses_bad_units_and_requests(stub: Server) -> None:
    for unit in ({}, {"argv": []}, {"argv": ["true"], "typo": 1}, {"argv": ["true"], "limits": {"nothing": 1}}):
        with pytest.raises(RpcError) as caught:
            define(stub, "unit", **unit)
        assert caught.value.type == "InvalidRequest"
    for name, type_ in (("../agent", "InvalidRequest"), ("unknown", "UnitNotFound")):
        with pytest.raises(RpcError) as caught:
            ask(stub, "start", name)
        assert caught.value.type == type_
    with pytest.raises(RpcError) as caught:
        ask(stub, "explode", "agent")
    assert caught.value.type == "UnknownMethod"
    assert ask(stub, "status", "agent")["state"] == "running"


def test_remove_stops_and_forgets(stub: Server) -> None:
    define(stub, "unit", argv=["sleep", "1000"])
    ask(stub, "start", "unit")
    pid = stub.pid("unit")
    ask(stub, "remove", "unit")
    assert not alive(pid)
    with pytest.raises(RpcError) as caught:
        ask(stub, "status", "unit")
    assert caught.value.type == "UnitNotFound"


def test_is_small(stub: Server) -> None:
    assert rss_kb(stub.pid("init")) < 12 * 1024
