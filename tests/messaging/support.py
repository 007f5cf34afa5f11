"""What the tests of stores have in common."""

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import pymongo
import redis
from sqlalchemy import create_engine, update
from sqlalchemy.pool import NullPool

from messaging.drivers.base import ClaimTerms, NewMessage, QueueKey, Store
from messaging.drivers.mongodb import places
from messaging.drivers.mongodb.server import MESSAGES
from messaging.drivers.sql.tables import messages, queues
from messaging.values import Message
from tests.support import mongodbserver

_numbers = itertools.count(1)
_AGE = """
local by = tonumber(ARGV[1])
for _, name in ipairs({'expiry', 'delayed', 'held', 'ends'}) do
  local key = KEYS[1] .. name
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -by, member) end
end
local info_key = KEYS[1] .. 'info'
for _, id in ipairs(redis.call('HKEYS', info_key)) do
  local info = cmsgpack.unpack(redis.call('HGET', info_key, id))
  for _, field in ipairs({2, 3, 4, 7}) do info[field] = info[field] - by end
  redis.call('HSET', info_key, id, cmsgpack.pack(info))
end
"""


def draft(body: Any, ttl: int = 3600, delay: int = 0) -> NewMessage:
    return NewMessage(json.dumps(body), ttl, delay)


def new(body: Any) -> NewMessage:
    return draft(body)


def post(store: Store, key: QueueKey, *given: Any) -> Sequence[str]:
    return store.post(key, [new(body) for body in given], "me")


def claim(store: Store, key: QueueKey, limit: int, claim_id: str = "", max_claims: int | None = None) -> Sequence[Message]:
    claim_id = claim_id or f"claim-{next(_numbers)}"
    return store.claim(key, ClaimTerms(claim_id, 60, 60, limit, max_claims)).messages


def bodies(found: Iterable[Message]) -> list[Any]:
    return [message.body for message in found]


def patience(url: str) -> int:
    """By how much a store is slower than the others: the server that stands for MongoDB is written in Python."""
    return 10 if url.startswith(mongodbserver.SCHEME) and not mongodbserver.GIVEN else 1


def backlog(url: str) -> int | None:
    """How many free messages a storm may pile up; None: as many as come.  The slow server's claims cost by the queue's length."""
    return 200 if patience(url) > 1 else None


def backdate(url: str, key: QueueKey, seconds: int) -> None:
    """Let all that is in the queue have happened so much earlier; the stores' clocks cannot be turned."""
    by = seconds * 1000
    if url.startswith("redis"):
        with redis.Redis.from_url(url) as client:
            prefix = f"coffer:{{{quote(key.project, safe='')}:{key.name}}}:"
            client.register_script(_AGE)(keys=[prefix], args=[by])
        return
    columns = ("created", "expires", "available", "claimed_at")
    if url.startswith("mongodb"):
        with pymongo.MongoClient[dict[str, Any]](url) as mongo:
            of = {"queue": places.queue_of(key)}
            mongo.get_default_database()[MESSAGES].update_many(of, {"$inc": dict.fromkeys(columns, -by)})
        return
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        of_queue = (
            queues.select().with_only_columns(queues.c.id).where(queues.c.project == key.project, queues.c.name == key.name)
        )
        queue_id = connection.scalar(of_queue)
        earlier = {name: messages.c[name] - by for name in columns}
        connection.execute(update(messages).where(messages.c.queue_id == queue_id).values(earlier))
