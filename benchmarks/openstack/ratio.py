"""POST -> ACTIVE of a MariaDB beside the same OpenStack calls made bare, with the guest's own job on both sides; the two take turns."""

import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import select

from benchmarks.openstack.bare import LOOK_SECONDS as BARE_LOOK_SECONDS
from benchmarks.openstack.bare import bare_create
from clouds.ports import GuestBoot
from guests.keys import new_key_pair
from models import OperationRow, OperationStep
from models.base import new_id, utcnow
from tests.contract.keystone.world import Login, of_clouds
from tests.support.control_plane import VERSIONS, ControlPlane, control_plane
from tests.support.openstack_world import guest_command
from tests.support.testbed import CLOUDS_FILE, Bed

GOAL = 1.15
WITHIN = 600
LOOK_SECONDS = 0.1
ENGINE = "mariadb"
SPEC: dict[str, Any] = {
    "databases": [{"name": "app"}],
    "users": [{"name": "ada", "password": "a-Password-2", "databases": [{"name": "app"}]}],
}


def rows(bed: Bed, runs: int, *, polling: bool = False) -> list[tuple[str, str, str, bool]]:
    """(what, measured, goal, met).  `polling`: the worker hears nothing of what Nova and Cinder tell, and looks as often as the bare script."""
    options = "" if polling else f"[notifications]\ntransport_url = {bed.transport_url}\n"
    keystone = of_clouds(Path(CLOUDS_FILE))
    bare, coffer = [], []
    with (
        tempfile.TemporaryDirectory(prefix="cbo-", dir="/tmp") as at,
        control_plane(Path(at), bed, options=options, poll_interval=BARE_LOOK_SECONDS) as plane,
    ):
        # The first of each warms caches of the services.
        for number in range(runs + 1):
            parts = _bare(bed)
            took, steps = _coffer(plane, bed, keystone.login("alice"))
            print(f"  {_told(parts)}; POST -> ACTIVE {took:.2f} s: {steps}", file=sys.stderr)
            if number:
                bare.append(parts)
                coffer.append(took)
    floors = [sum(parts.values()) for parts in bare]
    found = statistics.median(c / f for c, f in zip(coffer, floors, strict=True))
    middle = {name: statistics.median(parts[name] for parts in bare) for name in bare[0]}
    return [
        (f"bare calls and job, s ({_told(middle)})", f"{statistics.median(floors):.2f}", "", True),
        (
            f"POST -> ACTIVE, s ({'polling' if polling else 'told'}; medians of {runs})",
            f"{statistics.median(coffer):.2f}",
            "",
            True,
        ),
        ("ratio, median of pairs", f"{found:.2f}", f"<= {GOAL}", found <= GOAL),
    ]


def _told(parts: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())


def _bare(bed: Bed) -> dict[str, float]:
    login, host = new_key_pair(), new_key_pair()
    boot = GuestBoot(new_id(), ENGINE, VERSIONS[ENGINE], 512, login.public, host.private)
    image_id = bed.image("guest_agent", guest_command("guest_agent"))
    return bare_create(bed, image_id, boot, login, host, SPEC)


def _coffer(plane: ControlPlane, bed: Bed, login: Login) -> tuple[float, str]:
    """Seconds from POST to ACTIVE, as the tenant sees it, and when its steps began and ended."""
    url = f"{plane.api}/v1.0/{login.project_id}/instances"
    web = requests.Session()
    web.headers["X-Auth-Token"] = login.token
    web.get(url, timeout=60).raise_for_status()
    wanted = {"name": "bench", "flavorRef": bed.flavor_id, "volume": {"size": 1}, "datastore": {"type": ENGINE}, **SPEC}
    begun, asked = time.monotonic(), utcnow()
    made = web.post(url, json={"instance": wanted}, timeout=60)
    made.raise_for_status()
    id = made.json()["instance"]["id"]
    mine = f"{url}/{id}"
    while (now := web.get(mine, timeout=60).json()["instance"])["status"] != "ACTIVE":
        if now["status"] == "ERROR" or time.monotonic() > begun + WITHIN:
            raise RuntimeError(f"the instance is {now['status']}: {now.get('fault')}")
        time.sleep(LOOK_SECONDS)
    took = time.monotonic() - begun
    web.delete(mine, timeout=60).raise_for_status()
    while web.get(mine, timeout=60).status_code != 404:
        time.sleep(LOOK_SECONDS)
    return took, _steps(plane, id, asked)


def _steps(plane: ControlPlane, instance_id: str, asked: datetime) -> str:
    """Of the create, in seconds since it was asked for."""
    with plane.database.read() as s:
        mine = select(OperationStep).join(OperationRow, OperationRow.id == OperationStep.operation_id)
        mine = mine.where(OperationRow.instance_id == instance_id, OperationRow.kind == "InstanceCreate")
        steps = [step for step in s.scalars(mine.order_by(OperationStep.started_at)) if step.started_at and step.finished_at]
    spans = ((step.name, (step.started_at - asked).total_seconds(), (step.finished_at - asked).total_seconds()) for step in steps)
    return ", ".join(f"{name} {begun:.2f}-{ended:.2f}" for name, begun, ended in spans)
