"""A process of the storm, to be killed at any moment."""

import random
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from messaging.drivers.base import ClaimTerms, NewMessage, QueueKey, Store
from messaging.drivers.registry import open_store
from messaging.errors import BadClaim, MessageClaimed, StoreUnavailable
from tests.messaging.storm.history import CLAIMED, DELETED, DELETING, POSTED, RELEASING, Log

CLAIM_TTL = 2
PAUSE = 0.02


def produce(store: Store, key: QueueKey, log: Log, stop: Path, backlog: int | None = None) -> None:
    """Waits for the claimers when `backlog` messages are free, if it is told one."""
    name, number = uuid.uuid4().hex[:8], 0
    while not stop.exists():
        count = random.randint(1, 20)
        try:
            if backlog and store.stats(key).free >= backlog:
                time.sleep(PAUSE)
                continue
            ids = store.post(key, [NewMessage(f'"{name}-{number + n}"', 3600, 0) for n in range(count)], name)
        except StoreUnavailable:
            time.sleep(PAUSE)
            continue
        log.write(POSTED, ids=list(ids))
        number += count


def consume(store: Store, key: QueueKey, log: Log, stop: Path) -> None:
    while True:
        try:
            if not claim_some(store, key, log):
                if stop.exists() and store.stats(key).total == 0:
                    return
                time.sleep(PAUSE)
        except StoreUnavailable:
            time.sleep(PAUSE)


def claim_some(store: Store, key: QueueKey, log: Log, ttl: int = CLAIM_TTL) -> bool:
    """False when there was nothing to claim."""
    claim = uuid.uuid4().hex
    asked = time.monotonic()
    held = store.claim(key, ClaimTerms(claim, ttl, 60, random.randint(1, 30))).messages
    granted = time.monotonic()
    if not held:
        return False
    ids = [message.id for message in held]
    log.write(CLAIMED, claim=claim, ids=ids, asked=asked, granted=granted, ttl=ttl)
    fate = random.random()
    if fate < 0.03:
        log.write(RELEASING, claim=claim, at=time.monotonic())
        store.release_claim(key, claim)
    elif fate < 0.15:
        for one in ids[: random.randint(1, 5)]:
            _delete_one(store, key, log, one, claim)
        log.write(RELEASING, claim=claim, at=time.monotonic())
        store.release_claim(key, claim)
    elif fate < 0.98:
        log.write(DELETING, ids=ids)
        if store.delete_many(key, ids, [claim]) == len(ids):
            log.write(DELETED, ids=ids, at=time.monotonic())
    return True


def _delete_one(store: Store, key: QueueKey, log: Log, message: str, claim: str) -> None:
    log.write(DELETING, ids=[message])
    try:
        store.delete(key, message, claim)
    except (BadClaim, MessageClaimed):
        # Too slow: the claim has ended.
        return
    log.write(DELETED, ids=[message], at=time.monotonic())


def work(role: Callable[[Store, QueueKey, Log, Path], None], url: str, key: QueueKey, directory: Path) -> None:
    role(open_store(url), key, Log(directory / f"{uuid.uuid4().hex}.log"), directory / "stop")
