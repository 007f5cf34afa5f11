"""Records of queues: one document each, which is what every change of a queue as a whole is decided by.

A post becomes part of its queue when the record has noted it in `posts`: that gives its messages their places.  They
are written before that, under a token of their own, and get the queue's name afterwards: by the one who posted, or, when
that one died, by whoever comes to the queue next.

A queue that is sealed refuses new posts by its record, and everything else by the stage of each of its messages.  So nothing
that a late comer does to a message can be missed by `export`.  A message that is written by a late importer keeps its stage and is never seen.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from pymongo import ReturnDocument, WriteConcern
from pymongo.errors import BulkWriteError, DuplicateKeyError

from messaging.drivers.base import Fenced, QueueKey, Record
from messaging.drivers.mongodb import documents
from messaging.drivers.mongodb.server import NOW, Document, Server

OPEN, SEALING, SEALED, IMPORTING, OPENING, GONE = "open", "sealing", "sealed", "importing", "opening", "gone"
BATCH = 200
DUPLICATE = 11000
# A post that is still noted although its messages have their places does no harm.
_RELAXED = WriteConcern(1)


class Place(NamedTuple):
    """A queue's record as it was at the moment `now` of the server's clock."""

    id: str
    generation: int
    state: str
    last: int
    posts: Sequence[Mapping[str, Any]]
    now: int

    @property
    def queue(self) -> str:
        return _queue(self.id, self.generation)

    @property
    def messages(self) -> Document:
        """Those that were part of the queue at that moment."""
        return {"queue": self.queue, "seq": {"$lte": self.last}}


def record(server: Server, key: QueueKey) -> Place | None:
    found = records(server, {"_id": _id(key)})
    return found[0] if found else None


def records(server: Server, wanted: Document) -> list[Place]:
    return [
        Place(r["_id"], r["generation"], r["state"], int(r["last"]), r["posts"], r["now"])
        for r in server.queues.aggregate([{"$match": wanted}, {"$set": {"now": NOW}}])
    ]


def enter(server: Server, key: QueueKey) -> Place:
    """The open queue with all its messages in their places.  Raises Fenced."""
    found = record(server, key)
    if found is None or found.generation != key.generation or found.state != OPEN:
        raise Fenced
    settle(server, found)
    return found


def check(server: Server, place: Place) -> None:
    """That the queue has been open all the time since it was entered.  Raises Fenced."""
    if server.queues.find_one({"_id": place.id, "generation": place.generation, "state": OPEN}, {"_id": 1}) is None:
        raise Fenced


def note(server: Server, place: Place, token: str, count: int) -> int:
    """Make the `count` messages under the token part of the queue; gives the place of the first.  Raises Fenced."""
    here = {"_id": place.id, "generation": place.generation, "state": OPEN}
    first = {"$add": ["$last", 1]}
    noted = {"last": {"$add": ["$last", count]}, "posts": {"$concatArrays": ["$posts", [{"token": token, "first": first}]]}}
    found = server.queues.find_one_and_update(here, [{"$set": noted}], {"last": 1}, return_document=ReturnDocument.AFTER)
    if found is None:
        raise Fenced
    return int(found["last"]) - count + 1


def settle(server: Server, place: Place) -> None:
    """Put the messages of noted posts in their places."""
    for post in place.posts:
        moved = {"queue": {"$literal": place.queue}, "seq": {"$add": [post["first"], "$seq"]}}
        server.messages.update_many({"queue": post["token"]}, [{"$set": moved}])
        server.queues.with_options(write_concern=_RELAXED).update_one(
            {"_id": place.id, "generation": place.generation}, {"$pull": {"posts": {"token": post["token"]}}}
        )


def open_queue(server: Server, key: QueueKey) -> None:
    while True:
        found = record(server, key)
        if found is not None and found.generation >= key.generation:
            if (found.generation, found.state) != (key.generation, OPEN):
                raise Fenced
            return
        # Orders begin at the clock's microseconds, so that a queue made again continues behind its former self and old markers hold.
        if _renew(server, key, OPEN, {"$multiply": [NOW, 1000]}):
            return


def seal_queue(server: Server, key: QueueKey) -> int:
    while True:
        found = record(server, key)
        if found is not None and found.generation >= key.generation:
            break
        if _renew(server, key, SEALED, 0):
            return 0
    if found.generation > key.generation or found.state not in (OPEN, SEALING, SEALED):
        raise Fenced
    if found.state != SEALED:
        _set_state(server, key, OPEN, SEALING)
        closed = record(server, key)
        if closed is None or closed.generation != key.generation or closed.state not in (SEALING, SEALED):
            raise Fenced
        settle(server, closed)
        server.messages.update_many({"queue": closed.queue, "stage": documents.OPEN}, {"$set": {"stage": documents.SEALED}})
        _set_state(server, key, SEALING, SEALED)
        return closed.last
    return found.last


def drop_queue(server: Server, key: QueueKey) -> None:
    while True:
        found = record(server, key)
        if found is not None and found.generation >= key.generation:
            break
        if _renew(server, key, GONE, 0):
            return
    if found.generation == key.generation:
        gone = {"state": GONE, "posts": [], "changed": NOW}
        server.queues.update_one({"_id": found.id, "generation": key.generation, "state": {"$ne": GONE}}, [{"$set": gone}])
        server.messages.delete_many({"queue": found.queue})


def begin_import(server: Server, key: QueueKey, last: int) -> bool:
    while True:
        found = record(server, key)
        if found is not None and found.generation >= key.generation:
            break
        if _renew(server, key, IMPORTING, last):
            return True
    if found.generation > key.generation or found.state not in (OPEN, IMPORTING, OPENING):
        raise Fenced
    if found.state == OPENING:
        finish_import(server, key)
    return found.state == IMPORTING


def import_records(server: Server, key: QueueKey, given: Sequence[Record]) -> None:
    place = _importing(server, key)
    ids: list[Any] = []
    if given:
        new = [documents.imported(place.queue, r, place.now) for r in given]
        try:
            server.messages.insert_many(new, ordered=False)
        except BulkWriteError as e:
            if any(error["code"] != DUPLICATE for error in e.details["writeErrors"]) or e.details["writeConcernErrors"]:
                raise
        ids = [one["_id"] for one in new]
    try:
        _importing(server, key)
    except Fenced:
        server.messages.delete_many({"_id": {"$in": ids}, "stage": documents.IMPORTING})
        raise


def finish_import(server: Server, key: QueueKey) -> None:
    _set_state(server, key, IMPORTING, OPENING)
    while True:
        queue = _queue(_id(key), key.generation)
        # First the messages, then the record: what was there before the queue is open cannot be from a late importer.
        wanted = {"queue": queue, "stage": documents.IMPORTING}
        ids = [one["_id"] for one in server.messages.find(wanted, {"_id": 1}).limit(BATCH)]
        found = record(server, key)
        if found is None or found.generation != key.generation or found.state not in (OPEN, OPENING):
            raise Fenced
        if found.state == OPEN:
            return
        if not ids:
            _set_state(server, key, OPENING, OPEN)
            return
        server.messages.update_many({"_id": {"$in": ids}, "stage": documents.IMPORTING}, {"$set": {"stage": documents.OPEN}})


def export(server: Server, key: QueueKey, after: int, limit: int) -> list[Record]:
    place = _sealed(server, key)
    wanted = {"queue": place.queue, "seq": {"$gt": after}, "stage": documents.SEALED, "expires": {"$gt": place.now}}
    found = [documents.record(m, place.now) for m in server.messages.find(wanted).sort(documents.ORDER).limit(limit)]
    # It may have been dropped meanwhile.
    _sealed(server, key)
    return found


def _renew(server: Server, key: QueueKey, state: str, start: Any) -> bool:
    """Make the record, or turn one of an older generation into it; False when it is not older."""
    values = {
        "project": {"$literal": key.project},
        "name": {"$literal": key.name},
        "generation": key.generation,
        "state": state,
        "last": {"$max": [{"$ifNull": ["$last", 0]}, start]},
        "posts": [],
        "changed": NOW,
    }
    older = {"_id": _id(key), "generation": {"$lt": key.generation}}
    try:
        before = server.queues.find_one_and_update(older, [{"$set": values}], upsert=True)
    except DuplicateKeyError:
        return False
    if before is not None:
        server.messages.delete_many({"queue": _queue(before["_id"], before["generation"])})
    return True


def _set_state(server: Server, key: QueueKey, before: str, after: str) -> None:
    here = {"_id": _id(key), "generation": key.generation, "state": before}
    server.queues.update_one(here, {"$set": {"state": after}})


def _importing(server: Server, key: QueueKey) -> Place:
    return _in_state(server, key, IMPORTING)


def _sealed(server: Server, key: QueueKey) -> Place:
    return _in_state(server, key, SEALED)


def _in_state(server: Server, key: QueueKey, state: str) -> Place:
    found = record(server, key)
    if found is None or found.generation != key.generation or found.state != state:
        raise Fenced
    return found


def project_prefix(project: str) -> str:
    """What the names of all queues of the project begin with, and those of no other."""
    return f"{quote(project, safe='')}/"


def queue_of(key: QueueKey) -> str:
    """What its messages call the queue."""
    return _queue(_id(key), key.generation)


def _id(key: QueueKey) -> str:
    return f"{project_prefix(key.project)}{key.name}"


def _queue(place: str, generation: int) -> str:
    return f"{place}/{generation}"
