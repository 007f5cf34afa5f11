"""The supervisor with tiny children in place of the control plane."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli import processes
from cli.errors import CliError
from cli.parts import Part
from cli.statedir import StateDir
from cli.supervisor import LASTING, LONGEST_PAUSE, Backoff, Supervisor

IDLE = "import signal, sys; open(sys.argv[2], 'a').write('x'); signal.pause()"
DEAF = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[2], 'a').write('x'); [signal.pause() for _ in iter(int, 1)]"
DYING = "import sys; open(sys.argv[2], 'a').write('x'); sys.exit('no such thing')"


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path)
    state.make()
    return state


def part(state: StateDir, name: str, code: str = IDLE, patience: float = 5.0) -> Part:
    mark = (f"mark-{name}", str(state.root / f"{name}.starts"))
    return Part(name, [sys.executable, "-c", code, *mark], mark, patience)


def starts(state: StateDir, name: str) -> int:
    path = state.root / f"{name}.starts"
    return len(path.read_text()) if path.exists() else 0


def pid_of(state: StateDir, name: str) -> int:
    return int(state.pid(name).read_text())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.01)


class Running:
    """A supervisor in a task of this process."""

    def __init__(self, state: StateDir, *parts: Part) -> None:
        self.state, self.parts, self.said = state, parts, list[str]()
        self.ready = asyncio.Event()
        self.supervisor = Supervisor(state, parts, {p.name: self._check(p) for p in parts}, self.said.append, dict(os.environ))
        self.task = asyncio.create_task(self.supervisor.run(self._on_ready))

    def _check(self, part: Part) -> Callable[[], "asyncio.Future[bool]"]:
        async def started() -> bool:
            return starts(self.state, part.name) > 0

        return started  # type: ignore[return-value]

    async def _on_ready(self) -> None:
        self.ready.set()

    async def stop(self) -> None:
        self.supervisor.stop()
        await asyncio.wait_for(self.task, 30)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    for name in ("first", "second"):
        assert processes.find((f"mark-{name}", str(tmp_path / f"{name}.starts"))) == []


async def in_order(state: StateDir) -> Running:
    running = Running(state, part(state, "first"), part(state, "second"))
    await asyncio.wait_for(running.ready.wait(), 15)
    return running


def test_all_parts_run_when_ready_and_none_after_the_stop(state: StateDir) -> None:
    async def go() -> None:
        running = await in_order(state)
        assert len(processes.find(running.parts[0].mark)) == len(processes.find(running.parts[1].mark)) == 1
        assert processes.bears(pid_of(state, "first"), running.parts[0].mark)
        await running.stop()
        assert not state.pid("first").exists()
        assert [line for line in running.said if line.startswith("stopping")] == ["stopping second", "stopping first"]

    asyncio.run(go())


def test_a_part_that_dies_comes_back(state: StateDir) -> None:
    async def go() -> None:
        running = await in_order(state)
        for life in (2, 3):
            before = pid_of(state, "first")
            os.kill(before, signal.SIGKILL)
            await until(lambda life=life, before=before: starts(state, "first") == life and pid_of(state, "first") != before)  # type: ignore[misc]
        assert starts(state, "second") == 1
        await running.stop()
        assert any("was killed by SIGKILL" in line and "again in 0.4 s" in line for line in running.said)

    asyncio.run(go())


def test_pauses_double_up_to_a_limit_and_are_short_again_after_a_long_life() -> None:
    backoff = Backoff()
    assert [round(backoff.after(1.0), 1) for _ in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, LONGEST_PAUSE, LONGEST_PAUSE]
    assert backoff.after(LASTING) == 0.2


def test_what_can_not_live_is_a_failure_with_its_last_words(state: StateDir) -> None:
    async def go() -> None:
        running = Running(state, part(state, "first"), part(state, "second", DYING))
        running.supervisor._checks = {"first": _yes, "second": _no}
        with pytest.raises(CliError, match="second ends as soon as it is started: no such thing"):
            await asyncio.wait_for(running.task, 30)

    asyncio.run(go())


def test_a_deaf_part_is_killed_when_its_time_is_over(state: StateDir) -> None:
    async def go() -> None:
        running = Running(state, part(state, "first", DEAF, patience=0.2))
        await asyncio.wait_for(running.ready.wait(), 15)
        await running.stop()
        assert "first does not end: killed" in running.said

    asyncio.run(go())


def test_a_second_signal_makes_haste(state: StateDir) -> None:
    async def go() -> None:
        running = Running(state, part(state, "first", DEAF, patience=60))
        await asyncio.wait_for(running.ready.wait(), 15)
        running.supervisor.stop()
        running.supervisor.stop()
        await asyncio.wait_for(running.task, 10)

    asyncio.run(go())


def test_leftovers_of_a_killed_supervisor_make_room(state: StateDir) -> None:
    async def go() -> None:
        left = part(state, "first")
        orphan = subprocess.Popen(left.argv)
        await until(lambda: starts(state, "first") == 1)
        running = await in_order(state)
        assert orphan.wait(5) == -signal.SIGTERM
        assert len(processes.find(left.mark)) == 1
        await running.stop()

    asyncio.run(go())


def test_a_pid_file_that_names_a_foreign_process_harms_nobody(state: StateDir) -> None:
    foreign = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "mark-first"])
    try:
        state.pid("first").write_text(f"{foreign.pid}\n")

        async def go() -> None:
            running = await in_order(state)
            await running.stop()

        asyncio.run(go())
        assert processes.stop(part(state, "first").mark, [foreign.pid], 1.0) == 0
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()


def test_only_one_supervisor_holds_a_directory(state: StateDir) -> None:
    hold = "with StateDir(pathlib.Path(sys.argv[1])).held(): print('held', flush=True); sys.stdin.read()"
    code = f"import sys, pathlib; from cli.statedir import StateDir\n{hold}"
    other = subprocess.Popen([sys.executable, "-c", code, str(state.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == b"held\n"
        assert state.holder() == other.pid
        with pytest.raises(CliError, match="already runs"), state.held():
            raise AssertionError("two hold it")
        other.kill()
        other.wait()
        assert state.holder() is None
        with state.held():
            assert state.holder() == os.getpid()
    finally:
        other.kill()
        other.communicate()


def test_stopping_ends_by_force_what_does_not_listen(state: StateDir) -> None:
    deaf = part(state, "first", DEAF)
    child = subprocess.Popen(deaf.argv)
    deadline = time.monotonic() + 10
    while starts(state, "first") == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert processes.stop(deaf.mark, processes.find(deaf.mark), 0.1) == 1
    assert child.wait(5) == -signal.SIGKILL


async def _yes() -> bool:
    return True


async def _no() -> bool:
    return False
