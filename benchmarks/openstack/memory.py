"""Memory of one worker, with its default threads, while many creates are in flight on a cloud that answers slowly and then not at all.

A proxy in front of Neutron and Cinder keeps each request that would make something for `HELD` seconds and then says 503: every create stays
open at its first steps, all threads of the worker are taken, and nothing is made.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.openstack.calls import Wide
from models import OperationRow, OperationState
from tests.support.faultproxy import Fault, FaultProxy, fault_proxy
from tests.support.testbed import Bed
from tests.support.world import ROOT, Temporal, Zygote

HELD = 8.0
IDLE_SECONDS = 10.0
FLIGHT_SECONDS = 60.0
LOOK_SECONDS = 0.5
ALWAYS = 1_000_000
SECTION = re.compile(r"activity_threads = \d+\n|max_cached_workflows = \d+\n")


@contextmanager
def worker(world: Wide, proxy: FaultProxy) -> Iterator[int]:
    """The pid of a worker of its own process, with default settings."""
    config_file = world.directory / "worker.conf"
    config_file.write_text(SECTION.sub("", world.config_file.read_text()))
    environment = {**os.environ, "http_proxy": proxy.url, "no_proxy": "", "COFFER_TIMEOUT_SCALE": "1"}
    with (world.directory / "worker.log").open("w") as log:
        argv = [sys.executable, "worker.py", "--config", str(config_file)]
        process = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            yield process.pid
        finally:
            process.kill()
            process.wait(30)


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    if not found:
        raise RuntimeError("the worker has ended")
    return int(found[1]) / 1024


def peak_mib(pid: int, seconds: float) -> float:
    end, most = time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        most = max(most, resident_mib(pid))
        time.sleep(LOOK_SECONDS)
    return most


def claimed(world: Wide, found: list[OperationRow]) -> int:
    """How many a worker has begun."""
    return sum(world.operation(row.id).state == OperationState.RUNNING for row in found)


def rows(bed: Bed, number: int) -> list[tuple[str, str, str, bool]]:
    """(what, measured, goal, met)."""
    temporal, zygote = Temporal(), Zygote()
    try:
        with fault_proxy() as proxy:
            proxy.inject(*(Fault("POST", path, times=ALWAYS, delay=HELD, status=503) for path in (r"/ports$", r"/volumes$")))
            world = Wide(bed, temporal, zygote)
            try:
                with worker(world, proxy) as pid:
                    idle = peak_mib(pid, IDLE_SECONDS)
                    found = [world.create() for _ in range(number)]
                    world.eventually(lambda: claimed(world, found) == number, 600)
                    busy = peak_mib(pid, FLIGHT_SECONDS)
                    still = claimed(world, found)
            finally:
                world.close()
    finally:
        zygote.close()
        temporal.close()
    return [
        ("worker, idle: MiB resident", f"{idle:.0f}", "", True),
        (f"worker, {number} creates in flight: MiB resident, most in {FLIGHT_SECONDS:.0f} s", f"{busy:.0f}", "", True),
        (f"worker, {number} creates in flight: KiB for each", f"{(busy - idle) * 1024 / number:.0f}", "", True),
        ("creates in flight at the end of it", f"{still}", f"{number}", still == number),
    ]
