"""A caller killed at any line of a driver leaves something that the same call completes and delete removes.

Each crash is a forked child that sends itself SIGKILL when it has run so many lines of the driver (or of subprocess, where
the driver starts programs).  The push run tries an even sample of all lines; the slow run tries each.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from clouds.ports import ServerStatus, VolumeStatus
from tests.contract.clouds.conftest import Driver, Things
from tests.support.local_guest import eventually

SAMPLES = 12
FORK = multiprocessing.get_context("fork")


def traced(work: Callable[[], object], source: str, at_line: Callable[[], None]) -> None:
    def on_line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            at_line()
        return on_line

    def on_call(frame: FrameType, _: str, __: Any) -> Any:
        file = frame.f_code.co_filename
        return on_line if file.startswith(source) or file.endswith("/subprocess.py") else None

    sys.settrace(on_call)
    try:
        work()
    finally:
        sys.settrace(None)


def lines_of(work: Callable[[], object], source: str) -> int:
    """How many lines a call runs, by running it."""
    lines = 0

    def count() -> None:
        nonlocal lines
        lines += 1

    traced(work, source, count)
    return lines


def crash(work: Callable[[], object], source: str, line: int) -> bool:
    """Runs the call in a child that dies at its n-th line; False when it had no such line."""

    def child() -> None:
        left = line

        def count() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        traced(work, source, count)

    process = FORK.Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def sample(lines: int, samples: int | None) -> Iterator[int]:
    step = max(1, lines // samples) if samples else 1
    return iter(range(1, lines + 1, step))


EVERY = [
    pytest.param(SAMPLES, id="sampled"),
    pytest.param(None, id="every line", marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
]


@pytest.mark.parametrize("samples", EVERY)
def test_create_volume(things: Things, driver: Driver, samples: int | None) -> None:
    lines = lines_of(things.volume, driver.source)
    things.remove()
    for line in sample(lines, samples):
        crash(things.volume, driver.source, line)
        if line % 2:
            things.volume()
            assert eventually(lambda: status_of_volume(things) == VolumeStatus.AVAILABLE, 60)
        things.remove()
        assert driver.left() == [], line


@pytest.mark.parametrize("samples", EVERY)
def test_delete_volume(things: Things, driver: Driver, samples: int | None) -> None:
    things.volume()
    lines = lines_of(lambda: things.cloud.volumes.delete_volume(things.key), driver.source)
    for line in sample(lines, samples):
        things.volume()
        crash(lambda: things.cloud.volumes.delete_volume(things.key), driver.source, line)
        if line % 2:  # wanted again, whatever is left of it
            things.volume()
            assert eventually(lambda: status_of_volume(things) == VolumeStatus.AVAILABLE, 60)
        things.remove()
        assert driver.left() == [], line


@pytest.mark.parametrize("samples", EVERY)
def test_create_server(things: Things, driver: Driver, samples: int | None) -> None:
    lines = lines_of(things.server, driver.source)
    things.remove()
    for line in sample(lines, samples):
        crash(things.server, driver.source, line)
        if line % 2:
            things.server()
            assert eventually(lambda: status_of_server(things) == ServerStatus.ACTIVE, 60)
            assert driver.doubled(things.key) == [], line
        things.remove()
        assert driver.left() == [], line


@pytest.mark.parametrize("samples", EVERY)
def test_delete_server(things: Things, driver: Driver, samples: int | None) -> None:
    things.server()
    lines = lines_of(lambda: things.cloud.compute.delete_server(things.key), driver.source)
    for line in sample(lines, samples):
        things.server()
        crash(lambda: things.cloud.compute.delete_server(things.key), driver.source, line)
        if line % 2:  # wanted again, whatever is left of it
            things.server()
            assert eventually(lambda: status_of_server(things) == ServerStatus.ACTIVE, 60)
            assert driver.doubled(things.key) == [], line
        things.remove()
        assert driver.left() == [], line


@pytest.mark.parametrize("samples", EVERY)
def test_reboot_server(things: Things, driver: Driver, samples: int | None) -> None:
    things.server()
    lines = lines_of(lambda: things.cloud.compute.reboot_server(things.key), driver.source)
    for line in sample(lines, samples):
        crash(lambda: things.cloud.compute.reboot_server(things.key), driver.source, line)
        things.cloud.compute.reboot_server(things.key)
        assert eventually(lambda: status_of_server(things) == ServerStatus.ACTIVE, 60)
        assert driver.doubled(things.key) == [], line


@pytest.mark.parametrize("milliseconds", [1, 2, 4, 8, 12, 16, 24, 32, 48, 64])
def test_killed_from_outside(things: Things, driver: Driver, milliseconds: int) -> None:
    """Between lines too: inside system calls, and while a program runs that the driver has started."""
    for work in (things.server, things.remove):
        process = FORK.Process(target=work)
        process.start()
        time.sleep(milliseconds / 1000)
        process.kill()
        process.join()
    things.server()
    assert eventually(lambda: status_of_server(things) == ServerStatus.ACTIVE, 60)
    assert driver.doubled(things.key) == []


def status_of_volume(things: Things) -> VolumeStatus | None:
    volume = things.cloud.volumes.show_volume(things.key)
    return volume.status if volume else None


def status_of_server(things: Things) -> ServerStatus | None:
    server = things.cloud.compute.show_server(things.key)
    return server.status if server else None
