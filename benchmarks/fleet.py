"""Thousands of guests that report for minutes: `python -m benchmarks.fleet --guests 5000 --minutes 10`.

Guests are simulated, everything else is real: each posts whole reports through its own signed URL, on a new connection each time as agents do, to the
API of `coffer up`; the pool is a Redis with `appendfsync always`; the worker's drain writes what they say into the control plane's database.
Then what the same costs would make of 100,000 guests is told.  Exit status 1 when a report that was acknowledged did not arrive, or when a
guest had another answer than 201, or none in ten seconds.
"""

import argparse
import os
import resource
import statistics
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

import config
from benchmarks.server import process_cpu_ms
from benchmarks.simulated import PERIOD, TAKEN_IN, Guest, Record, report
from benchmarks.stack import Stack, running
from benchmarks.telemetry import place_queues, report_of
from messaging.service import Messaging
from messaging.signing import signer_of
from messaging.values import Draft
from models import Database, DatastoreVersion, GuestTelemetry, Instance, InstanceState
from models.base import new_id
from security import keyring
from telemetry.urls import GuestUrls, queue_of
from tests.support.redisserver import redis_url

POOL = "fleet"
ON_PAPER = 100_000
SETTLE_SECONDS = 15.0
SPARE_FILES = 1000
AT_A_TIME = 16
EVERYTHING = "everything"


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.fleet", description="Thousands of guests that report for minutes.")
    parser.add_argument("--guests", type=int, default=5_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--api-processes", type=int, default=2)
    parser.add_argument("--api-threads", type=int, default=16, help="of each; a post waits for the disk of the pool's Redis")
    options = parser.parse_args()
    allow_connections(options.guests)
    record = Record()
    size = {"OS_API__WORKERS": str(options.api_processes), "OS_API__THREADS": str(options.api_threads)}
    with redis_url() as pool, running(size) as stack:
        guests = enrol(stack, pool, options.guests, record)
        before, began = costs(stack, pool), time.monotonic()
        report(guests, options.minutes * 60)
        took = time.monotonic() - began
        spent = {name: ms - before[name] for name, ms in costs(stack, pool).items()}
        missing = settled(stack, guests)
    show(options.guests, took, record, spent, missing)
    return 1 if missing or set(record.answers) != {TAKEN_IN} else 0


def allow_connections(count: int) -> None:
    """Should all guests wait for an answer at a time: as many open files of ours, and of the API's, which inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + SPARE_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + SPARE_FILES, hard), hard))


def enrol(stack: Stack, pool: str, count: int, record: Record) -> list[Guest]:
    """Instances that are rows only, each with its queue in the pool and its URL."""
    conf = config.load(stack.state / "coffer.conf")
    database, keys = Database(conf.database.connection), keyring.load(Path(conf.secrets.keyring_file))
    messaging, urls = Messaging(database, keys), GuestUrls(conf, signer_of(keys))
    messaging.pools.put(POOL, {"uri": pool, "weight": 1})
    ids = [new_id() for _ in range(count)]
    with database.write() as s:
        version = s.scalars(select(DatastoreVersion.id)).first()
        s.add_all(
            Instance(
                id=id,
                project_id="fleet",
                name="db",
                flavor_id="1",
                volume_size=1,
                datastore_version_id=version or "",
                state=InstanceState.READY,
                quota_held=False,
            )
            for id in ids
        )
    place_queues(database, urls.project, ids, POOL)
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        # The first message makes the queue's record in the store.
        first = [Draft("made", 60)]
        posted = [threads.submit(messaging.messages.post, urls.project, queue_of(id), first, "benchmark") for id in ids]
    for one in posted:
        one.result()
    guests = [Guest(id, urls.post_to(id), report_of(id, 0), str(uuid.uuid4()), record) for id in ids]
    messaging.close()
    database.close()
    return guests


def costs(stack: Stack, pool: str) -> dict[str, float]:
    """CPU milliseconds until now: of the control plane's processes, of the pool's Redis, of these guests, and of all that this machine does."""
    with redis.Redis.from_url(pool) as client:
        used = client.info("cpu")
    clock = os.sysconf("SC_CLK_TCK")
    user, nice, system, _idle, _waiting, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    )
    return {
        **{name: process_cpu_ms(stack.pid(name)) for name in ("api", "worker", "temporal")},
        "redis": 1000 * (used["used_cpu_sys"] + used["used_cpu_user"]),
        "guests": 1000 * time.process_time(),
        EVERYTHING: 1000 * (user + nice + system + irq + softirq + steal) / clock,
    }


def settled(stack: Stack, guests: Sequence[Guest]) -> int:
    """How many are `absent` in the end; the drain may take some time for the last ones."""
    end = time.monotonic() + SETTLE_SECONDS
    while (missing := absent(stack, guests)) and time.monotonic() < end:
        time.sleep(0.5)
    return missing


def absent(stack: Stack, guests: Sequence[Guest]) -> int:
    """Guests whose last acknowledged report, or a newer one, is not in SQL."""
    database = Database(config.load(stack.state / "coffer.conf").database.connection)
    with database.read() as s:
        known = {row.instance_id: row.number for row in s.execute(select(GuestTelemetry.instance_id, GuestTelemetry.number))}
    database.close()
    return sum(guest.taken_in > known.get(guest.instance_id, 0) for guest in guests)


def show(count: int, took: float, record: Record, spent: Mapping[str, float], missing: int) -> None:
    posts = record.answers[TAKEN_IN]
    others = ", ".join(f"{n} x {word}" for word, n in record.answers.items() if word != TAKEN_IN)
    rows: list[tuple[str, Any]] = [
        ("guests, a report every 10 s", f"{count:,}"),
        ("minutes", f"{took / 60:.1f}"),
        ("reports acknowledged", f"{posts:,}, {posts / took:,.0f} a second"),
        ("other answers, and none in 10 s", others or "none"),
        ("time to the answer, ms: median, 99th of 100, longest", _times(record)),
        ("guests whose last acknowledged report is not in SQL", missing),
    ]
    rate = ON_PAPER / PERIOD
    ours = {name: ms for name, ms in spent.items() if name != EVERYTHING}
    for name, ms in ours.items():
        rows.append((f"CPU of {name}: ms for each report", f"{ms / posts:.3f}"))
    for name in ("api", "worker", "temporal", "redis"):
        rows.append((f"CPU of {name} for {ON_PAPER:,} guests, cores", f"{ours[name] / posts * rate / 1000:.1f}"))
    wall = 1000 * took
    rows.append(("cores that all of these took together", f"{sum(ours.values()) / wall:.2f}"))
    rows.append(("cores that others on this machine took", f"{(spent[EVERYTHING] - sum(ours.values())) / wall:.2f}"))
    table = Table("measure", "now", title="a fleet of guests")
    for what, now in rows:
        table.add_row(what, str(now))
    Console(width=100).print(table)


def _times(record: Record) -> str:
    marks = statistics.quantiles(record.took, n=100)
    return ", ".join(f"{1000 * seconds:.0f}" for seconds in (marks[49], marks[98], max(record.took)))


if __name__ == "__main__":
    sys.exit(main())
