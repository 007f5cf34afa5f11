"""The storm over HTTP: clients, the API's processes, Redis and MongoDB are killed while messages are posted, claimed and deleted."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api.tokens import DevelopmentTokens, Directory
from messaging.drivers.base import QueueKey
from messaging.service import Messaging
from security import keyring
from tests.api.messaging.post_office import start_counters
from tests.contract.clients.serving import Served, serving
from tests.messaging.conftest import SERVERS, Urls
from tests.messaging.storm import history, http_worker, worker
from tests.messaging.storm.crew import Crew, Tally
from tests.messaging.storm.servers import stormy_store
from tests.messaging.storm.test_storm import CLAIMERS, PRODUCERS, SLOW_MESSAGES
from tests.messaging.support import backlog, patience

KINDS = ("sqlite", *SERVERS)


@pytest.fixture
def pool(request: pytest.FixtureRequest, urls: Urls) -> Iterator[tuple[str, Callable[[], None]]]:
    """URI of a store, and what to do to it in the middle."""
    with stormy_store(request.param, urls) as stormy:
        yield stormy


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as served:
        start_counters(served.database)
        yield served


def kill_one(served: Served) -> None:
    """One of the API's processes; gunicorn starts another."""
    children = Path(f"/proc/{served.pid}/task/{served.pid}/children").read_text().split()
    os.kill(int(random.choice(children)), signal.SIGKILL)


def address(served: Served, keys: keyring.Keyring) -> tuple[http_worker.Address, str]:
    """With a token, and its project."""
    directory = Directory(served.log.parent / "identity.json")
    user = directory.users()["user-alpha"]
    token, _ = DevelopmentTokens(directory, keys).issue(user, user.project)
    where = urlsplit(served.url)
    return http_worker.Address(str(where.hostname), int(where.port or 0), token), user.project.id


def left(messaging: Messaging, key: QueueKey) -> list[str]:
    found: list[str] = []
    marker = None
    while page := messaging.messages.list(key.project, key.name, marker, 1000, echo=True, include_claimed=True).items:
        found += [message.id for message in page]
        marker = found[-1]
    return found


@pytest.mark.engines
@pytest.mark.parametrize(
    ("pool", "messages", "kills"),
    [
        pytest.param("redis", 2000, 2, marks=pytest.mark.timeout(300)),
        *(pytest.param(kind, SLOW_MESSAGES, 10, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]) for kind in KINDS),
    ],
    indirect=["pool"],
)
def test_no_acknowledged_message_is_lost_or_held_by_two(
    served: Served, pool: tuple[str, Callable[[], None]], tmp_path: Path, messages: int, kills: int
) -> None:
    uri, crash = pool
    keys = keyring.load(tmp_path / "keyring.json")
    messaging = Messaging(served.database, keys)
    messaging.pools.put("stormy", {"uri": uri, "weight": 1})
    where, project = address(served, keys)
    key = QueueKey(project, "storm", 0)
    logs = tmp_path / "storm"
    logs.mkdir()
    seconds, began, tally = (60 + messages / 25) * patience(uri), time.monotonic(), Tally(logs)
    crews = [
        Crew(PRODUCERS, http_worker.work, partial(worker.produce, backlog=backlog(uri)), where, key, logs),
        Crew(CLAIMERS, http_worker.work, http_worker.consume, where, key, logs),
    ]
    try:
        for step in range(1, kills + 1):
            tally.reach(messages * step // (kills + 1), seconds)
            kill_one(served)
            crews[step % 2].kill_one()
            if step == kills // 2:
                crash()
        tally.reach(messages, seconds)
        (logs / "stop").touch()
        for crew in crews:
            crew.wait(seconds)
    finally:
        for crew in crews:
            crew.end()
    verdict = history.judge(history.read(logs), left(messaging, key))
    messaging.close()
    print(  # noqa: T201
        f"{uri.partition(':')[0]} over HTTP: {verdict.posted} messages, {verdict.deliveries} deliveries in "
        f"{time.monotonic() - began:.1f} s, {kills} API processes killed, lost {len(verdict.lost)}, shared {len(verdict.shared)}"
    )
    assert verdict.posted >= messages
    assert verdict.redelivered > 0
    assert (verdict.lost, verdict.shared, verdict.risen) == ((), (), ())
