"""A caller killed at any line of a driver leaves something that the same call completes and delete removes.

Each crash is a forked child that sends itself SIGKILL at a point of the call: a line of the driver (or of subprocess, where
the driver starts programs) as reached by one path of calls.  The push run tries an even sample of all; the slow run tries each.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from clouds.ports import ServerStatus, VolumeStatus
from tests.contract.clouds.conftest import Driver, Things, patiently
from tests.support.local_guest import eventually

FORK = multiprocessing.get_context("fork")

Point = tuple[tuple[str, int], ...]
"""File and line of each frame, innermost first."""


def traced(work: Callable[[], object], source: str, at_point: Callable[[Point], None]) -> None:
    def on_line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            at_point(point_of(frame, source))
        return on_line

    def on_call(frame: FrameType, _: str, __: Any) -> Any:
        return on_line if is_driver(frame, source) else None

    sys.settrace(on_call)
    try:
        work()
    finally:
        sys.settrace(None)


def is_driver(frame: FrameType, source: str) -> bool:
    file = frame.f_code.co_filename
    return file.startswith(source) or file.endswith("/subprocess.py")


def point_of(frame: FrameType | None, source: str) -> Point:
    lines = []
    while frame is not None:
        if is_driver(frame, source):
            lines.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return tuple(lines)


def points_of(work: Callable[[], object], source: str) -> list[Point]:
    """Where a call comes by, in order, by running it."""
    points: dict[Point, None] = {}
    traced(work, source, lambda point: points.setdefault(point))
    return list(points)


def crash(work: Callable[[], object], source: str, at: Point) -> None:
    """Runs the call in a child that dies when it first gets to the point, if it does."""

    def die(point: Point) -> None:
        if point == at:
            os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=lambda: traced(work, source, die))
    process.start()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)


def sample(points: list[Point], samples: int | None) -> list[tuple[int, Point]]:
    step = max(1, len(points) // samples) if samples else 1
    return list(enumerate(points[::step]))


EVERY = [
    pytest.param(True, id="sampled"),
    pytest.param(False, id="every point", marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
]


@pytest.mark.parametrize("sampled", EVERY)
def test_create_volume(things: Things, driver: Driver, sampled: bool) -> None:
    points = points_of(things.volume, driver.source)
    things.remove()
    for number, point in sample(points, driver.samples if sampled else None):
        crash(things.volume, driver.source, point)
        if number % 2:
            patiently(things.volume)
            assert eventually(lambda: status_of_volume(things) == VolumeStatus.AVAILABLE, 60)
        things.remove()
        assert driver.left() == [], point


@pytest.mark.parametrize("sampled", EVERY)
def test_delete_volume(things: Things, driver: Driver, sampled: bool) -> None:
    things.volume()
    assert eventually(lambda: status_of_volume(things) == VolumeStatus.AVAILABLE, 60)
    points = points_of(lambda: things.cloud.volumes.delete_volume(things.key), driver.source)
    for number, point in sample(points, driver.samples if sampled else None):
        assert patiently(things.volume)
        assert eventually(lambda: status_of_volume(things) == VolumeStatus.AVAILABLE, 60)
        crash(lambda: things.cloud.volumes.delete_volume(things.key), driver.source, point)
        if number % 2:  # wanted again, whatever is left of it
            patiently(things.volume)
            assert eventually(lambda: status_of_volume(things) == VolumeStatus.AVAILABLE, 60)
        things.remove()
        assert driver.left() == [], point


@pytest.mark.parametrize("sampled", EVERY)
def test_create_server(things: Things, driver: Driver, sampled: bool) -> None:
    points = points_of(things.server, driver.source)
    things.remove()
    for number, point in sample(points, driver.samples if sampled else None):
        crash(things.server, driver.source, point)
        if number % 2:
            things.server()
            assert eventually(lambda: status_of_server(things) == ServerStatus.ACTIVE, 60)
            assert driver.doubled(things.key) == [], point
        things.remove()
        assert driver.left() == [], point


@pytest.mark.parametrize("sampled", EVERY)
def test_delete_server(things: Things, driver: Driver, sampled: bool) -> None:
    things.server()
    points = points_of(lambda: things.cloud.compute.delete_server(things.key), driver.source)
    for number, point in sample(points, driver.samples if sampled else None):
        things.server()
        crash(lambda: things.cloud.compute.delete_server(things.key), driver.source, point)
        if number % 2:  # wanted again, whatever is left of it
            things.server()
            assert eventually(lambda: status_of_server(things) == ServerStatus.ACTIVE, 60)
            assert driver.doubled(things.key) == [], point
        things.remove()
        assert driver.left() == [], point


@pytest.mark.parametrize("sampled", EVERY)
def test_reboot_server(things: Things, driver: Driver, sampled: bool) -> None:
    things.server()
    assert eventually(lambda: status_of_server(things) == ServerStatus.ACTIVE, 60)
    points = points_of(lambda: things.cloud.compute.reboot_server(things.key), driver.source)
    for _, point in sample(points, driver.samples if sampled else None):
        crash(lambda: things.cloud.compute.reboot_server(things.key), driver.source, point)
        things.cloud.compute.reboot_server(things.key)
        assert eventually(lambda: status_of_server(things) == ServerStatus.ACTIVE, 60)
        assert driver.doubled(things.key) == [], point


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
