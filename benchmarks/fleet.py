"""Thousands of guests that report for minutes: `python -m benchmarks.fleet --guests 5000 --minutes 10`.

Guests are simulated, everything else is real: each posts whole reports through its own signed URL, on a new connection each time as agents do, to the
API of `coffer up`; the pool is a Redis with `appendfsync always`; the worker's drain writes what they say into the control plane's database.
Then what the same costs would make of 100,000 guests is told.  Exit status 1 when a report that was acknowledged did not arrive.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table
from sqlalchemy import select

import config
from benchmarks.messaging import process_cpu_ms
from benchmarks.stack import Stack, running
from benchmarks.telemetry import place_queues, report_of
from messaging.service import Messaging
from messaging.signing import signer_of
from models import Database, DatastoreVersion, GuestTelemetry, Instance, InstanceState
from models.base import new_id
from security import keyring
from telemetry.urls import GuestUrls
from tests.support.redisserver import redis_url

POOL = "fleet"
PERIOD = 10.0
ON_PAPER = 100_000
SETTLE_SECONDS = 15.0
ANSWER_SECONDS = 30.0


@dataclass
class Guest:
    """`taken_in` is the number of its last report that was acknowledged."""

    instance_id: str
    target: str
    headers: Mapping[str, str]
    number: int = 0
    taken_in: int = 0


@dataclass
class Record:
    """What all guests met with; times in seconds."""

    answers: Counter[str] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.fleet", description="Thousands of guests that report for minutes.")
    parser.add_argument("--guests", type=int, default=5_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    with redis_url() as pool, running() as stack:
        guests = enrol(stack, pool, options.guests)
        before, began = costs(stack), time.monotonic()
        record = asyncio.run(report(stack, guests, options.minutes * 60))
        spent, took = {name: ms - before[name] for name, ms in costs(stack).items()}, time.monotonic() - began
        missing = absent(stack, guests)
    show(options.guests, took, record, spent, missing)
    return 1 if missing else 0


def enrol(stack: Stack, pool: str, count: int) -> list[Guest]:
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
    for id in ids:
        messaging.queues.put(urls.project, f"guest-{id}", None)
    guests = [_guest(id, urls.post_to(id)) for id in ids]
    messaging.close()
    database.close()
    return guests


def _guest(instance_id: str, post_to: Mapping[str, str]) -> Guest:
    headers = {
        "X-Project-ID": post_to["project"],
        "URL-Paths": post_to["paths"],
        "URL-Methods": post_to["methods"],
        "URL-Expires": post_to["expires"],
        "URL-Signature": post_to["signature"],
        "Client-ID": str(uuid.uuid4()),
        "Content-Type": "application/json",
        "Connection": "close",
    }
    return Guest(instance_id, urlsplit(post_to["url"]).path, headers)


async def report(stack: Stack, guests: list[Guest], seconds: float) -> Record:
    record, end = Record(), time.monotonic() + seconds
    await asyncio.gather(*(_live(stack, guest, end, record) for guest in guests))
    await asyncio.sleep(SETTLE_SECONDS)
    return record


async def _live(stack: Stack, guest: Guest, end: float, record: Record) -> None:
    at = time.monotonic() + random.uniform(0, PERIOD)  # noqa: S311  (spreads guests, guards nothing)
    while at < end:
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        await _post(stack, guest, record)
        at = max(at + PERIOD * random.uniform(0.9, 1.1), time.monotonic())  # noqa: S311


async def _post(stack: Stack, guest: Guest, record: Record) -> None:
    guest.number += 1
    number, began = guest.number, time.monotonic()
    body = json.dumps({"messages": [{"ttl": 300, "body": report_of(guest.instance_id, number)}]}).encode()
    try:
        status = await asyncio.wait_for(_exchange(stack, guest, body), ANSWER_SECONDS)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as e:
        record.answers[type(e).__name__] += 1
        return
    record.answers[str(status)] += 1
    record.took.append(time.monotonic() - began)
    if status == 201:
        guest.taken_in = number


async def _exchange(stack: Stack, guest: Guest, body: bytes) -> int:
    where = urlsplit(stack.api)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        head = "".join(f"{name}: {value}\r\n" for name, value in guest.headers.items())
        first = f"POST {guest.target} HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{first}{head}\r\n".encode() + body)
        status = await reader.readline()
        await reader.read()
        return int(status.split()[1])
    finally:
        writer.close()


def costs(stack: Stack) -> dict[str, float]:
    """CPU milliseconds of the control plane's processes until now."""
    return {name: process_cpu_ms(stack.pid(name)) for name in ("api", "worker", "temporal")}


def absent(stack: Stack, guests: list[Guest]) -> int:
    """Guests whose last acknowledged report, or a newer one, is not in SQL."""
    database = Database(config.load(stack.state / "coffer.conf").database.connection)
    with database.read() as s:
        known = {row.instance_id: row.number for row in s.execute(select(GuestTelemetry.instance_id, GuestTelemetry.number))}
    database.close()
    return sum(guest.taken_in > known.get(guest.instance_id, 0) for guest in guests)


def show(count: int, took: float, record: Record, spent: Mapping[str, float], missing: int) -> None:
    posts = record.answers["201"]
    marks = statistics.quantiles(record.took, n=100)
    rows: list[tuple[str, Any]] = [
        ("guests, a report every 10 s", f"{count:,}"),
        ("minutes", f"{took / 60:.1f}"),
        ("reports acknowledged", f"{posts:,}, {posts / took:,.0f} a second"),
        ("other answers", ", ".join(f"{n} x {word}" for word, n in record.answers.items() if word != "201") or "none"),
        ("time to the answer, ms: median, 99th of 100", f"{1000 * marks[49]:.0f}, {1000 * marks[98]:.0f}"),
        ("guests whose last acknowledged report is not in SQL", missing),
    ]
    rate = ON_PAPER / PERIOD
    for name, ms in spent.items():
        rows.append((f"CPU of {name}: ms for each report", f"{ms / posts:.2f}"))
        rows.append((f"CPU of {name} for {ON_PAPER:,} guests, cores", f"{ms / posts * rate / 1000:.1f}"))
    table = Table("measure", "now", title="a fleet of guests")
    for what, now in rows:
        table.add_row(what, str(now))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
