"""The storage driver for MongoDB.

Every change of a message is one update or deletion that names the state it expects; the server looks at that again
for each document at the moment it writes it.  A claim therefore is exclusive though it holds many messages.
"""

import logging
import secrets
from collections.abc import Collection, Sequence
from typing import Any

from pymongo.errors import DuplicateKeyError, PyMongoError

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
from messaging.drivers.mongodb import collecting, documents, places
from messaging.drivers.mongodb.places import Place
from messaging.drivers.mongodb.server import NOW, ONCE, Document, Server, told
from messaging.drivers.registry import CAPABILITIES
from messaging.errors import BadClaim, ClaimNotFound, MessageClaimed
from messaging.values import EMPTY_STATS, Claim, Message, Stats

GONE_MS = 3_600_000
_log = logging.getLogger(__name__)


def open_store(uri: str) -> "MongoStore":
    return MongoStore(uri)


class MongoStore:
    capabilities = CAPABILITIES["mongodb"]

    def __init__(self, uri: str) -> None:
        self._server = Server(uri)

    def identity(self) -> str:
        def work() -> str:
            only = {"_id": "identity"}
            try:
                self._server.store.update_one(only, {"$setOnInsert": {"identity": secrets.token_hex(16)}}, upsert=True)
            except DuplicateKeyError:
                _log.debug("another process named the store at the same time")
            return str((self._server.store.find_one(only) or {})["identity"])

        return self._server.run(work)

    def close(self) -> None:
        self._server.close()

    def open_queue(self, key: QueueKey) -> None:
        self._server.run(lambda: places.open_queue(self._server, key))

    def drop_queue(self, key: QueueKey) -> None:
        self._server.run(lambda: places.drop_queue(self._server, key))

    def seal_queue(self, key: QueueKey) -> int:
        return self._server.run(lambda: places.seal_queue(self._server, key))

    def begin_import(self, key: QueueKey, last: int) -> bool:
        return self._server.run(lambda: places.begin_import(self._server, key, last))

    def import_records(self, key: QueueKey, records: Sequence[Record]) -> None:
        self._server.run(lambda: places.import_records(self._server, key, records))

    def finish_import(self, key: QueueKey) -> None:
        self._server.run(lambda: places.finish_import(self._server, key))

    def export(self, key: QueueKey, after: int, limit: int) -> list[Record]:
        return self._server.run(lambda: places.export(self._server, key, after, limit))

    def purge(self, key: QueueKey) -> None:
        def work() -> None:
            place = places.enter(self._server, key)
            self._server.messages.delete_many({**place.messages, "stage": documents.OPEN})
            places.check(self._server, place)

        self._server.run(work)

    def stats(self, key: QueueKey) -> Stats:
        def work() -> Stats:
            place = places.enter(self._server, key)
            found = list(self._server.messages.aggregate(_counted(place)))
            places.check(self._server, place)
            if not found:
                return EMPTY_STATS
            [s] = found
            oldest, newest = documents.edge(s["oldest"], place.now), documents.edge(s["newest"], place.now)
            return Stats(s["claimed"], s["total"] - s["claimed"], s["total"], oldest, newest)

        return self._server.run(work)

    def sweep(self, limit: int = 1000) -> int:
        def work() -> int:
            now = self._server.now()
            self._server.queues.delete_many({"state": places.GONE, "changed": {"$lt": now - GONE_MS}})
            expired = {"expires": {"$lte": now}}
            ids = [one["_id"] for one in self._server.messages.find(expired, {"_id": 1}).limit(limit)]
            return self._server.messages.delete_many({"_id": {"$in": ids}, **expired}).deleted_count if ids else 0

        return self._server.run(work)

    def post(self, key: QueueKey, new: Sequence[NewMessage], client: str) -> list[str]:
        token, nonce = "", new_nonce()

        def write() -> Place:
            nonlocal token
            place, token = places.enter(self._server, key), secrets.token_hex(16)
            self._server.messages.insert_many(documents.posted(token, nonce, client, new, place.now))
            return place

        place = self._server.run(write)
        try:
            # Not repeated after a lost answer: the messages might be there already.
            first = self._server.run(lambda: places.note(self._server, place, token, len(new)), ONCE)
        except Fenced:
            self._server.run(lambda: self._server.messages.delete_many({"queue": token}))
            raise
        try:
            places.settle(self._server, place._replace(posts=[{"token": token, "first": first}]))
        except PyMongoError as e:
            # They are posted; whoever comes to the queue next puts them in their places.
            told(e)
        return [message_id(first + n, nonce) for n in range(len(new))]

    def select(self, key: QueueKey, selection: Selection) -> list[Message]:
        def wanted(place: Place) -> Document:
            condition = {**place.messages, **documents.alive(place.now), **_shown(selection, place.now)}
            condition["seq"] = {"$gt": selection.after, "$lte": place.last}
            return condition

        return self._server.run(lambda: self._seen(key, wanted, selection.limit))

    def get(self, key: QueueKey, ids: Sequence[str]) -> list[Message]:
        def wanted(place: Place) -> Document:
            return {"_id": {"$in": self._named(place, ids)}, **documents.alive(place.now)}

        return self._server.run(lambda: self._seen(key, wanted))

    def delete(self, key: QueueKey, wanted: str, claim_id: str | None) -> None:
        def work() -> None:
            place = places.enter(self._server, key)
            for mine in ({"_id": one} for one in self._named(place, [wanted])):
                if not self._server.messages.delete_one({**mine, **documents.under(place.now, claim_id)}).deleted_count:
                    self._check_absent({**mine, **documents.alive(place.now)}, place.now, claim_id)
            places.check(self._server, place)

        self._server.run(work)

    def delete_many(self, key: QueueKey, ids: Sequence[str], claim_ids: Sequence[str] | None) -> int:
        def work() -> int:
            place = places.enter(self._server, key)
            more = documents.alive(place.now)
            if claim_ids is not None:
                more |= {"claim": {"$in": list(claim_ids)}, "available": {"$gt": place.now}}
            named = self._named(place, ids)
            deleted = self._server.messages.delete_many({"_id": {"$in": named}, **more}).deleted_count if named else 0
            places.check(self._server, place)
            return deleted

        return self._server.run(work)

    def pop(self, key: QueueKey, limit: int) -> list[Message]:
        place, token = self._server.run(lambda: places.enter(self._server, key)), secrets.token_hex(16)
        # Not repeated after a lost answer: it would take further messages away.
        self._server.run(lambda: self._take_out(place, token, limit), ONCE)
        found = self._server.run(lambda: list(self._server.messages.find({"queue": token}).sort(documents.ORDER)))
        if not found:
            self._server.run(lambda: places.check(self._server, place))
            return []
        try:
            self._server.messages.delete_many({"queue": token})
        except PyMongoError as e:
            # No queue has them any more; they go when they expire.
            told(e)
        return [documents.message(m, place.now) for m in found]

    def claim(self, key: QueueKey, terms: ClaimTerms) -> Claimed:
        def work() -> Claimed:
            place = places.enter(self._server, key)
            dead: list[Message] = []
            fresh: Document = {}
            if terms.max_claims is not None:
                dead = self._hold(place, terms, dead_claim(terms.claim_id), {"claim_count": {"$gte": terms.max_claims}})
                fresh = {"claim_count": {"$lt": terms.max_claims}}
            held = self._hold(place, terms, terms.claim_id, fresh)
            # What was claimed while the queue was being sealed moves with it, claim and all.
            places.check(self._server, place)
            return Claimed(tuple(held), tuple(dead))

        return self._server.run(work)

    def get_claim(self, key: QueueKey, claim_id: str) -> Claim:
        def work() -> Claim:
            place = places.enter(self._server, key)
            found = self._held(place, claim_id)
            places.check(self._server, place)
            if not found:
                raise ClaimNotFound(f"Claim {claim_id} does not exist.")
            age = max(0, place.now - found[0]["claimed_at"]) // 1000
            return Claim(claim_id, found[0]["claim_ttl"], age, tuple(documents.message(m, place.now) for m in found))

        return self._server.run(work)

    def renew_claim(self, key: QueueKey, claim_id: str, ttl: int, grace: int) -> None:
        def work() -> None:
            place = places.enter(self._server, key)
            mine = {**documents.held(place.now, claim_id), **place.messages}
            renewed = self._server.messages.update_many(mine, [{"$set": documents.holding(claim_id, ttl, grace)}])
            places.check(self._server, place)
            if not renewed.matched_count:
                raise ClaimNotFound(f"Claim {claim_id} does not exist.")

        self._server.run(work)

    def release_claim(self, key: QueueKey, claim_id: str) -> None:
        def work() -> None:
            place = places.enter(self._server, key)
            mine = {**documents.held(place.now, claim_id), **place.messages}
            self._server.messages.update_many(mine, [{"$set": {"available": NOW}}, {"$unset": "claim"}])
            places.check(self._server, place)

        self._server.run(work)

    def due(self, keys: Collection[QueueKey]) -> dict[QueueKey, float]:
        return self._server.run(lambda: collecting.due(self._server, keys)) if keys else {}

    def gather(self, project: str, limit: int) -> list[Gathered]:
        return self._server.run(lambda: collecting.gather(self._server, project, limit))

    def discard(self, project: str, gathered: Sequence[Gathered]) -> int:
        return self._server.run(lambda: collecting.discard(self._server, project, gathered)) if gathered else 0

    def _hold(self, place: Place, terms: ClaimTerms, claim_id: str, only: Document) -> list[Message]:
        """Hold free messages until there are enough or no more; those chosen may be taken by others meanwhile, then further ones are looked for."""
        free = {**place.messages, **documents.free(place.now), **only}
        held = [{"$set": {"claim_count": {"$add": ["$claim_count", 1]}, **documents.holding(claim_id, terms.ttl, terms.grace)}}]
        found = self._held(place, claim_id)
        if found:
            return [documents.message(m, place.now) for m in found]
        while len(found) < terms.limit:
            ids = self._first(free, terms.limit - len(found))
            if not ids:
                break
            taken = self._server.messages.update_many({"_id": {"$in": ids}, **free}, held).modified_count
            found = self._held(place, claim_id)
            if taken == len(ids):
                break
        return [documents.message(m, place.now) for m in found]

    def _take_out(self, place: Place, token: str, limit: int) -> None:
        free, left = {**place.messages, **documents.free(place.now)}, limit
        while ids := self._first(free, left) if left else []:
            left -= self._server.messages.update_many({"_id": {"$in": ids}, **free}, {"$set": {"queue": token}}).modified_count

    def _first(self, wanted: Document, limit: int) -> list[Any]:
        return [one["_id"] for one in self._server.messages.find(wanted, {"_id": 1}).sort(documents.ORDER).limit(limit)]

    def _named(self, place: Place, ids: Sequence[str]) -> list[Any]:
        """The keys of those of the messages that are there."""
        nonces = dict(found for found in map(parse_id, ids) if found is not None)
        there = self._server.messages.find({"queue": place.queue, "seq": {"$in": list(nonces)}}, {"seq": 1, "nonce": 1})
        return [one["_id"] for one in there if nonces[one["seq"]] == one["nonce"]]

    def _held(self, place: Place, claim_id: str) -> list[Document]:
        mine = {**documents.held(place.now, claim_id), **place.messages}
        return list(self._server.messages.find(mine).sort(documents.ORDER))

    def _check_absent(self, wanted: Document, now: int, claim_id: str | None) -> None:
        """Raises MessageClaimed, BadClaim when the message is there but not under this claim."""
        found = self._server.messages.find_one(wanted, {"claim": 1, "available": 1})
        if found is None:
            return
        if claim_id is not None and (found.get("claim") is None or found["available"] <= now):
            raise BadClaim("The message is not claimed, or the claim has expired.")
        raise MessageClaimed("The message is claimed by somebody else.")

    def _seen(self, key: QueueKey, wanted: Any, limit: int = 0) -> list[Message]:
        place = places.enter(self._server, key)
        found = self._server.messages.find(wanted(place)).sort(documents.ORDER).limit(limit)
        seen = [documents.message(m, place.now) for m in found]
        # The queue may have been sealed between the two looks, and nothing here would then mean nothing at all.
        places.check(self._server, place)
        return seen


def _shown(selection: Selection, now: int) -> Document:
    condition: Document = {} if selection.without_client is None else {"client": {"$ne": selection.without_client}}
    if selection.include_claimed and selection.include_delayed:
        return condition
    free = {"available": {"$lte": now}}
    if selection.include_claimed:
        return {**condition, "$or": [free, {"claim": {"$ne": None}}]}
    if selection.include_delayed:
        return {**condition, "$or": [free, {"claim": None}]}
    return {**condition, **free}


def _counted(place: Place) -> list[Document]:
    claimed = {"$and": [{"$gt": ["$claim", None]}, {"$gt": ["$available", place.now]}]}
    edge = {"seq": "$seq", "nonce": "$nonce", "created": "$created"}
    counts = {
        "total": {"$sum": 1},
        "claimed": {"$sum": {"$cond": [claimed, 1, 0]}},
        "oldest": {"$first": edge},
        "newest": {"$last": edge},
    }
    alive = {**place.messages, **documents.alive(place.now)}
    return [{"$match": alive}, {"$sort": {"seq": 1}}, {"$group": {"_id": None, **counts}}]
