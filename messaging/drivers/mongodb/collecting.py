"""Messages of all queues of a project at once, in as many commands whatever the number of queues."""

import random
from collections import defaultdict
from collections.abc import Collection, Sequence

from pymongo import DeleteMany

from messaging.drivers.base import Gathered, QueueKey, message_id
from messaging.drivers.mongodb import documents, places
from messaging.drivers.mongodb.server import MESSAGES, Document, Server


def gather(server: Server, project: str, limit: int) -> list[Gathered]:
    prefix = places.project_prefix(project)
    of_project = {"$gte": prefix, "$lt": f"{prefix[:-1]}0"}
    # Queues whose only messages are those of posts that nobody has ended are not among the others.
    _open(server, {"posts.token": {"$gt": ""}, "_id": of_project})
    filled = server.messages.distinct("queue", {"queue": of_project})
    chosen = filled if len(filled) <= limit else random.sample(filled, limit)
    here = _open(server, {"_id": {"$in": sorted({queue.rpartition("/")[0] for queue in chosen})}})
    wanted = [place for place in here if place.queue in set(chosen)]
    if not wanted:
        return []
    now = wanted[0].now
    found = server.queues.aggregate(_first_free([place.id for place in wanted], limit // len(wanted), now))
    known = {(place.id, place.generation) for place in wanted}
    return [
        Gathered(r["name"], r["generation"], message_id(m["seq"], m["nonce"]), m["body"], max(0, now - m["created"]) // 1000)
        for r in found
        if (m := r["message"]) and (r["_id"], r["generation"]) in known
    ]


def _first_free(ids: Sequence[str], share: int, now: int) -> list[Document]:
    """Per queue, in order.  One message at a time comes out of it, so none of its documents can grow too large."""
    queue = {"$concat": ["$_id", "/", {"$toString": "$generation"}]}
    of_queue = [
        {"$match": {"$expr": {"$eq": ["$queue", "$$queue"]}, **documents.free(now)}},
        {"$sort": {"seq": 1}},
        {"$limit": share},
        {"$project": {"seq": 1, "nonce": 1, "body": 1, "created": 1}},
    ]
    return [
        {"$match": {"_id": {"$in": ids}, "state": places.OPEN}},
        {"$lookup": {"from": MESSAGES, "let": {"queue": queue}, "pipeline": of_queue, "as": "message"}},
        {"$unwind": "$message"},
        {"$project": {"name": 1, "generation": 1, "message": 1}},
    ]


def due(server: Server, keys: Collection[QueueKey]) -> dict[QueueKey, float]:
    named = {places.queue_of(key): key for key in keys}
    wanted = {"_id": {"$in": sorted({queue.rpartition("/")[0] for queue in named})}}
    here = [place for place in _open(server, wanted) if place.queue in named]
    if not here:
        return {}
    now = here[0].now
    waiting = {"queue": {"$in": [place.queue for place in here]}, **documents.alive(now)}
    first = server.messages.aggregate([{"$match": waiting}, {"$group": {"_id": "$queue", "first": {"$min": "$available"}}}])
    return {named[one["_id"]]: max(0, one["first"] - now) / 1000 for one in first}


def discard(server: Server, project: str, gathered: Sequence[Gathered]) -> int:
    ids: dict[str, list[str]] = defaultdict(list)
    for one in gathered:
        ids[places.queue_of(QueueKey(project, one.queue, one.generation))].append(one.id)
    now = server.now()
    deletions = [
        DeleteMany({"queue": queue, **condition, **documents.alive(now)})
        for queue, some in ids.items()
        for condition in documents.among(some)
    ]
    return server.messages.bulk_write(deletions, ordered=False).deleted_count if deletions else 0


def _open(server: Server, wanted: Document) -> list[places.Place]:
    """The open ones of these queues, with all their messages in their places."""
    found = places.records(server, {**wanted, "state": places.OPEN})
    for place in found:
        places.settle(server, place)
    return found
