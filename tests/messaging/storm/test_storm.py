"""Producers, claimers and deleters, some of them killed, on every driver; Redis and MongoDB themselves are killed too."""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from messaging.drivers.base import QueueKey, Selection
from messaging.drivers.registry import open_store
from tests.messaging.conftest import STORES, Urls
from tests.messaging.storm import history, worker
from tests.messaging.storm.crew import Crew, Tally
from tests.messaging.storm.servers import stormy_store
from tests.messaging.support import backlog, patience

SLOW_MESSAGES = int(os.environ.get("COFFER_STORM_MESSAGES", "50000"))
PRODUCERS, CLAIMERS = 2, 3
KEY = QueueKey("storm", "queue", 1)


@pytest.fixture(scope="module", params=STORES)
def stormy(request: pytest.FixtureRequest, urls: Urls) -> Iterator[tuple[str, Callable[[], None]]]:
    """URI of a store, and what to do to it in the middle."""
    with stormy_store(request.param, urls) as stormy:
        yield stormy


def storm(url: str, crash: Callable[[], None], directory: Path, messages: int, kills: int) -> history.Verdict:
    seconds = (30 + messages / 50) * patience(url)
    store = open_store(url)
    store.open_queue(KEY)
    began, tally = time.monotonic(), Tally(directory)
    crews = [
        Crew(PRODUCERS, worker.work, partial(worker.produce, backlog=backlog(url)), url, KEY, directory),
        Crew(CLAIMERS, worker.work, worker.consume, url, KEY, directory),
    ]
    try:
        for step in range(1, kills + 1):
            tally.reach(messages * step // (kills + 1), seconds)
            for crew in crews:
                crew.kill_one()
            if step == kills // 2:
                crash()
        tally.reach(messages, seconds)
        (directory / "stop").touch()
        for crew in crews:
            crew.wait(seconds)
    finally:
        for crew in crews:
            crew.end()
    left = [message.id for message in store.select(KEY, Selection(limit=1000, include_claimed=True))]
    store.close()
    verdict = history.judge(history.read(directory), left)
    took = time.monotonic() - began
    print(  # noqa: T201
        f"{url.partition(':')[0]}: {verdict.posted} messages, {verdict.deliveries} deliveries in {took:.1f} s, "
        f"{sum(crew.killed for crew in crews)} processes killed, lost {len(verdict.lost)}, shared {len(verdict.shared)}"
    )
    return verdict


@pytest.mark.parametrize(
    ("messages", "kills"), [(2000, 2), pytest.param(SLOW_MESSAGES, 10, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_no_acknowledged_message_is_lost_or_held_by_two(
    stormy: tuple[str, Callable[[], None]], tmp_path: Path, messages: int, kills: int
) -> None:
    verdict = storm(*stormy, tmp_path, messages, kills)
    assert verdict.posted >= messages
    assert verdict.redelivered > 0
    assert (verdict.lost, verdict.shared, verdict.risen) == ((), (), ())
