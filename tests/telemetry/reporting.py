"""Reports as guests post them, and instances to report of."""

import json
from typing import Any

from sqlalchemy import select

from models import Database, Datastore, DatastoreVersion, GuestTelemetry, Instance, InstanceState


def report(instance_id: str, number: int = 1, epoch: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "instance_id": instance_id,
        "epoch": epoch,
        "number": number,
        "reason": "heartbeat",
        "agent": "0.1.0",
        "boot_id": "boot",
        "generation": 3,
        "engine": {"state": "running", "wanted": True, "version": "10.11.6", "deaths": 0},
        "volume": {"total": 1020702720, "used": 184549376},
        "load": [0.1, 0.2, 0.1],
        "root_enabled": False,
        "jobs": [],
        **changes,
    }


def engine(state: str, wanted: bool = True) -> dict[str, Any]:
    return {"state": state, "wanted": wanted, "version": None, "deaths": 1}


def job(job_id: str, state: str = "succeeded") -> dict[str, Any]:
    progress = {"step": "start", "done": 2, "total": 7}
    return {"job_id": job_id, "kind": "prepare", "state": state, "revision": 4, "progress": progress}


def text(body: Any) -> str:
    return json.dumps(body)


def instances(database: Database, *ids: str, project: str = "project") -> None:
    with database.write() as s:
        if s.get(Datastore, "d") is None:
            s.add(Datastore(id="d", name="mariadb"))
            s.flush()
            s.add(DatastoreVersion(id="v", datastore_id="d", name="10.11", version="10.11", manager="mariadb"))
            s.flush()
        for id in ids:
            row = Instance(id=id, project_id=project, name="db", flavor_id="f", volume_size=1, datastore_version_id="v")
            row.state = InstanceState.READY
            s.add(row)


def rows(database: Database) -> dict[str, GuestTelemetry]:
    with database.read() as s:
        return {row.instance_id: row for row in s.scalars(select(GuestTelemetry))}
