"""The storage driver for Redis."""

import json
import logging
import secrets
import time
from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any, cast
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from messaging.drivers.base import (
    Claimed,
    ClaimTerms,
    Fenced,
    Gathered,
    NewMessage,
    QueueKey,
    Record,
    Selection,
    dead_claim,
    message_id,
    new_nonce,
    parse_id,
)
from messaging.drivers.redis.scripts import SCRIPTS
from messaging.drivers.registry import CAPABILITIES
from messaging.errors import BadClaim, ClaimNotFound, MessageClaimed, StoreUnavailable
from messaging.values import Claim, Edge, Message, Stats

IDENTITY = "coffer:store"
QUEUES = "coffer:queues"
GONE_MS = 3_600_000
MOST_DISCARDED = 1000
TIMEOUT_SECONDS = 5
PAUSES = (0.05, 0.2, 0.0)
FIELDS = 9
_log = logging.getLogger(__name__)


def open_store(uri: str) -> "RedisStore":
    return RedisStore(uri)


class RedisStore:
    capabilities = CAPABILITIES["redis"]

    def __init__(self, uri: str) -> None:
        # What is safe to repeat is decided here, not by the client library.
        self._redis = redis.Redis.from_url(
            uri,
            decode_responses=True,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._scripts = {name: self._redis.register_script(source) for name, source in SCRIPTS.items()}

    def identity(self) -> str:
        def read() -> str:
            self._redis.set(IDENTITY, secrets.token_hex(16), nx=True)
            return str(self._redis.get(IDENTITY))

        return str(_tried(read, PAUSES))

    def close(self) -> None:
        self._redis.connection_pool.disconnect(inuse_connections=False)

    def open_queue(self, key: QueueKey) -> None:
        self._call("open", key)

    def drop_queue(self, key: QueueKey) -> None:
        self._call("drop", key)

    def seal_queue(self, key: QueueKey) -> int:
        return int(self._call("seal", key)[0])

    def begin_import(self, key: QueueKey, last: int) -> bool:
        return bool(self._call("begin_import", key, last)[0] == "importing")

    def import_records(self, key: QueueKey, records: Sequence[Record]) -> None:
        arguments: list[str | int] = []
        for r in records:
            arguments += [message_id(r.seq, r.nonce), r.client, r.body, r.claim_id or ""]
            arguments += [r.age, r.expires_in, r.available_in, r.claim_ttl, r.claim_age, r.claim_count]
        self._call("import", key, *arguments)

    def finish_import(self, key: QueueKey) -> None:
        self._call("finish_import", key)

    def export(self, key: QueueKey, after: int, limit: int) -> list[Record]:
        now, *fields = self._call("export", key, after, limit)
        width = FIELDS + 1
        return [_record(int(now), fields[n : n + width]) for n in range(0, len(fields), width)]

    def purge(self, key: QueueKey) -> None:
        self._call("purge", key)

    def stats(self, key: QueueKey) -> Stats:
        now, total, held, *edges = self._call("stats", key)
        oldest, newest = (_edge(int(now), edges[n : n + 2]) for n in (0, 2))
        return Stats(int(held), int(total) - int(held), int(total), oldest, newest)

    def sweep(self, limit: int = 1000) -> int:
        removed = 0
        for prefix in _tried(lambda: list(self._redis.sscan_iter(QUEUES)), PAUSES):
            status, *counts = self._run("sweep", prefix, [0, limit - removed, GONE_MS])
            if status == "missing":
                _tried(lambda gone=prefix: self._redis.srem(QUEUES, gone), PAUSES)
            removed += int(counts[0]) if counts else 0
            if removed >= limit:
                break
        return removed

    def post(self, key: QueueKey, new: Sequence[NewMessage], client: str) -> list[str]:
        nonce = new_nonce()
        arguments: list[str | int] = []
        for message in new:
            arguments += [message.ttl, message.delay, message.body]
        first = int(self._call("post", key, client, nonce, *arguments)[0])
        return [message_id(first + n, nonce) for n in range(len(new))]

    def select(self, key: QueueKey, selection: Selection) -> list[Message]:
        # Two blanks: no client is called so.
        without = "  " if selection.without_client is None else selection.without_client
        flags = (int(selection.include_claimed), int(selection.include_delayed))
        return _messages(self._call("select", key, selection.after, selection.limit, without, *flags))

    def get(self, key: QueueKey, ids: Sequence[str]) -> list[Message]:
        return _messages(self._call("get", key, *sorted({one for one in ids if parse_id(one)})))

    def delete(self, key: QueueKey, wanted: str, claim_id: str | None) -> None:
        self._call("delete", key, wanted, claim_id or "")

    def delete_many(self, key: QueueKey, ids: Sequence[str], claim_ids: Sequence[str] | None) -> int:
        wanted = list(dict.fromkeys(ids))
        mode = "any" if claim_ids is None else "claimed"
        return int(self._call("delete_many", key, mode, len(wanted), *wanted, *(claim_ids or ()))[0])

    def pop(self, key: QueueKey, limit: int) -> list[Message]:
        # Not repeated after a lost answer: it would take further messages away.
        return _messages(self._call("pop", key, limit, pauses=(0.0,)))

    def claim(self, key: QueueKey, terms: ClaimTerms) -> Claimed:
        dead = dead_claim(terms.claim_id)
        most = -1 if terms.max_claims is None else terms.max_claims
        found = _messages(self._call("claim", key, terms.claim_id, dead, terms.ttl, terms.grace, terms.limit, most))
        return Claimed(
            tuple(message for message in found if message.claim_id != dead),
            tuple(message for message in found if message.claim_id == dead),
        )

    def get_claim(self, key: QueueKey, claim_id: str) -> Claim:
        answer = self._call("get_claim", key, claim_id)
        now, first = int(answer[0]), answer[1 : 1 + FIELDS]
        return Claim(claim_id, int(first[6]), max(0, now - int(first[7])) // 1000, tuple(_messages(answer)))

    def renew_claim(self, key: QueueKey, claim_id: str, ttl: int, grace: int) -> None:
        self._call("renew_claim", key, claim_id, ttl, grace)

    def release_claim(self, key: QueueKey, claim_id: str) -> None:
        self._call("release_claim", key, claim_id)

    def due(self, keys: Collection[QueueKey]) -> dict[QueueKey, float]:
        found: dict[QueueKey, float] = {}
        for project in {key.project for key in keys}:
            asked = [key for key in keys if key.project == project]
            wanted = [word for key in asked for word in (key.name, key.generation)]
            _, *waits = self._run("due", _quoted(project), [0, *wanted])
            found |= {key: int(wait) / 1000 for key, wait in zip(asked, waits, strict=True) if wait}
        return found

    def gather(self, project: str, limit: int) -> list[Gathered]:
        found: list[str] = self._run("gather", _quoted(project), [0, limit])[1:]
        width = len(fields(Gathered))
        return [_gathered(*found[n : n + width]) for n in range(0, len(found), width)]

    def discard(self, project: str, gathered: Sequence[Gathered]) -> int:
        removed = 0
        # While a script runs the server does nothing else, so none may be long.
        for n in range(0, len(gathered), MOST_DISCARDED):
            wanted: list[str | int] = [0]
            for one in gathered[n : n + MOST_DISCARDED]:
                wanted += [one.queue, one.generation, one.id]
            removed += int(self._run("discard", _quoted(project), wanted)[1])
        return removed

    def _call(self, script: str, key: QueueKey, *arguments: str | int, pauses: Sequence[float] = PAUSES) -> list[Any]:
        status, *answer = self._run(script, _prefix(key), [key.generation, *arguments], pauses)
        if status == "fenced":
            raise Fenced
        if status == "missing":
            raise ClaimNotFound("The claim does not exist.")
        if status == "claimed":
            raise MessageClaimed("The message is claimed by somebody else.")
        if status == "bad":
            raise BadClaim("The message is not claimed, or the claim has expired.")
        return answer

    def _run(self, script: str, prefix: str, arguments: Sequence[str | int], pauses: Sequence[float] = PAUSES) -> list[Any]:
        keys = prefix.split(":")

        def run() -> list[Any]:
            if script in ("open", "seal", "drop", "begin_import"):
                # Those that may make the queue's record; `sweep` finds it here.
                self._redis.sadd(QUEUES, prefix)
            return cast("list[Any]", self._scripts[script](keys=keys, args=list(arguments)))

        return cast("list[Any]", _tried(run, pauses))


def _prefix(key: QueueKey) -> str:
    """Project and queue, so written that no two pairs look alike."""
    return f"{_quoted(key.project)}:{key.name}"


def _quoted(project: str) -> str:
    return quote(project, safe="")


def _tried(work: Any, pauses: Sequence[float]) -> Any:
    for pause in pauses:
        try:
            return work()
        except redis.RedisError as e:
            passing = isinstance(e, (redis.ConnectionError, redis.TimeoutError))
            if not passing or not pause:
                _log.warning("a message store failed: %s", type(e).__name__)
                raise StoreUnavailable(f"The message store gives no answer ({type(e).__name__}).") from None
        time.sleep(pause)
    raise AssertionError("the last attempt raises")


def _messages(answer: list[Any]) -> list[Message]:
    now, *fields = answer
    return [_message(int(now), fields[n : n + FIELDS]) for n in range(0, len(fields), FIELDS)]


def _message(now: int, fields: list[str]) -> Message:
    wanted, body, created, expires, available, claim, _ttl, _at, count = fields
    return Message(
        id=wanted,
        body=json.loads(body),
        ttl=(int(expires) - int(created)) // 1000,
        age=max(0, now - int(created)) // 1000,
        claim_id=claim if claim and int(available) > now else None,
        claim_count=int(count),
    )


def _gathered(queue: str, generation: str, wanted: str, body: str, age: str) -> Gathered:
    return Gathered(queue, int(generation), wanted, body, int(age))


def _record(now: int, fields: list[str]) -> Record:
    wanted, body, created, expires, available, claim, claim_ttl, claimed_at, count, client = fields
    return Record(
        seq=int(wanted[:16], 16),
        nonce=wanted[16:],
        client=client,
        body=body,
        age=now - int(created),
        expires_in=int(expires) - now,
        available_in=int(available) - now,
        claim_id=claim or None,
        claim_ttl=int(claim_ttl),
        claim_age=now - int(claimed_at),
        claim_count=int(count),
    )


def _edge(now: int, fields: list[str]) -> Edge | None:
    if not fields:
        return None
    return Edge(fields[0], max(0, now - int(fields[1])) // 1000, int(fields[1]) / 1000)
