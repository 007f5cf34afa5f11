"""What it costs to drain guests' reports: CPU of the worker, with PostgreSQL as the control plane's database and Redis as the pool."""

import asyncio
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from temporalio.client import Client

import config
from activities.drain import DrainActivities, Tally
from messaging.bell import Bell
from messaging.catalogue import IN_PLACE
from messaging.service import Messaging
from messaging.signing import signer_of
from messaging.values import Draft
from migrations import runner
from models import CatalogueRow, Database, Datastore, DatastoreVersion, Instance, InstanceState, MessagingCounter
from models.base import new_id
from security import keyring
from telemetry.urls import GuestUrls, queue_of
from tests.support.databases import postgresql
from tests.support.redisserver import redis_url

GUESTS = 5_000
REPORTS_EACH = 10
POOL = "default"
GOAL = 5_000
NOBODY: Client = None  # type: ignore[assignment]
"""No job ends here, so there is no workflow to tell."""


@contextmanager
def filled() -> Iterator[DrainActivities]:
    """A drain with `REPORTS_EACH` reports of each of `GUESTS` guests waiting for it."""
    with postgresql() as url, redis_url() as pool, tempfile.TemporaryDirectory(prefix="cbt-") as directory:
        runner.upgrade(url)
        database, keys = Database(url), keyring.create(Path(directory) / "keyring.json")
        messaging = Messaging(database, keys)
        messaging.pools.put(POOL, {"uri": pool, "weight": 1})
        urls = GuestUrls(config.load(), signer_of(keys))
        ids = _instances(database)
        place_queues(database, urls.project, ids, POOL)
        for instance_id in ids:
            drafts = [Draft(report_of(instance_id, number)) for number in range(1, REPORTS_EACH + 1)]
            messaging.messages.post(urls.project, queue_of(instance_id), drafts, "guest")
        yield DrainActivities(database, messaging, NOBODY, urls, Bell(Path(directory) / "bell"))
        messaging.close()
        database.close()


def _instances(database: Database) -> list[str]:
    ids = [new_id() for _ in range(GUESTS)]
    with database.write() as s:
        s.add(Datastore(id="d", name="mariadb"))
        s.flush()
        s.add(DatastoreVersion(id="v", datastore_id="d", name="10.11", version="10.11", manager="mariadb"))
        s.flush()
        rows = [Instance(id=id, project_id="p", name="db", flavor_id="1", volume_size=1, datastore_version_id="v") for id in ids]
        for row in rows:
            row.state = InstanceState.READY
        s.add_all(rows)
    return ids


def place_queues(database: Database, project: str, ids: list[str], pool: str) -> None:
    """Placed all at once; their stores' records are made by the first post."""
    with database.write() as s:
        for generation, instance_id in enumerate(ids, 1):
            place = {"pool": pool, "generation": generation, "state": IN_PLACE, "attributes": {}}
            s.add(CatalogueRow(project=project, name=queue_of(instance_id), **place))
        s.get_one(MessagingCounter, "placement").value = len(ids)


def report_of(instance_id: str, number: int) -> dict[str, Any]:
    return {
        "v": 1,
        "instance_id": instance_id,
        "epoch": 1,
        "number": number,
        "reason": "heartbeat",
        "agent": "1.0.0",
        "boot_id": secrets.token_hex(16),
        "generation": 1,
        "engine": {"state": "running", "wanted": True, "version": "10.11.6", "deaths": 0},
        "volume": {"total": 1052663808, "used": 63676416 + number},
        "load": [0.42, 0.17, 0.05],
        "root_enabled": False,
        "jobs": [
            {
                "job_id": f"{instance_id}-prepare",
                "kind": "prepare",
                "state": "succeeded",
                "revision": 8,
                "progress": {"step": "root", "done": 7, "total": 7},
            }
        ],
    }


async def _drained(drain: DrainActivities) -> int:
    tally = Tally()
    while await drain.batch(POOL, tally) is not None:
        continue
    return tally.counts["messages"]


def rows() -> list[tuple[str, str, str, bool]]:
    """(what, measured, goal, met)"""
    with filled() as drain:
        wall, cpu = time.monotonic(), time.process_time()
        count = asyncio.run(_drained(drain))
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    if count != GUESTS * REPORTS_EACH:
        raise RuntimeError(f"{count} reports drained")
    return [
        ("reports drained, per second of CPU", f"{count / cpu:,.0f}", f">= {GOAL:,}", count / cpu >= GOAL),
        ("reports drained, per second", f"{count / wall:,.0f}", "", True),
    ]
