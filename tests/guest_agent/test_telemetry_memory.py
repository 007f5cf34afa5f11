"""What telemetry keeps on disk, and what the power going off at any instant makes of it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guest_agent import files
from guest_agent.telemetry import addresses
from guest_agent.telemetry.memory import Memory
from tests.guest_agent.test_telemetry_settings import POST_TO

TOUCHES = ("open", "write", "fsync", "replace")


def dies(act: Callable[[], object], touch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`act` in a process of its own that is killed just before it touches the disk in this way."""

    def die(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if pid == 0:
        monkeypatch.setattr(files.os, touch, die)
        act()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("touch", TOUCHES)
def test_starts_are_never_counted_back(tmp_path: Path, touch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Memory(tmp_path).count_start() == 1
    dies(Memory(tmp_path).count_start, touch, monkeypatch)
    assert [Memory(tmp_path).count_start() for _ in range(3)] == [2, 3, 4]


@pytest.mark.parametrize("content", [b"", b"\xff", b"seven"])
def test_a_damaged_count_goes_on_above_where_it_can_have_been(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "telemetry").mkdir()
    (tmp_path / "telemetry" / "epoch").write_bytes(content)
    first = Memory(tmp_path).count_start()
    assert first > 1_000_000_000
    assert Memory(tmp_path).count_start() == first + 1


def test_the_count_goes_on_above_what_it_is_told(tmp_path: Path) -> None:
    assert [Memory(tmp_path).count_start(above) for above in (0, 41, 7, 0)] == [1, 42, 43, 44]


@pytest.mark.parametrize("touch", TOUCHES)
def test_a_destination_is_the_old_or_the_new_one(tmp_path: Path, touch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (addresses.destination({"post_to": POST_TO, "period": period}, "x") for period in (1, 2))
    memory = Memory(tmp_path)
    assert memory.load_destination() is None
    memory.save_destination(old)
    dies(lambda: memory.save_destination(new), touch, monkeypatch)
    assert memory.load_destination() == old
    memory.save_destination(new)
    assert Memory(tmp_path).load_destination() == new


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"epoch": 1}', "\xff", '{"post_to": {}, "period": 1}'])
def test_what_is_damaged_is_as_if_it_were_not_there(tmp_path: Path, content: str) -> None:
    memory = Memory(tmp_path)
    for name in ("destination.json", "report.json"):
        (tmp_path / "telemetry" / name).write_text(content)
    assert (memory.load_destination(), memory.load_report()) == (None, None)


def test_a_report_is_kept_until_it_is_forgotten(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    memory.forget_report()
    memory.save_report({"epoch": 1, "number": 2})
    assert Memory(tmp_path).load_report() == {"epoch": 1, "number": 2}
    memory.forget_report()
    assert memory.load_report() is None
