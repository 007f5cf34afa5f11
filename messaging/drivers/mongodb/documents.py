"""Documents of messages, and conditions on them.  Moments and spans are in milliseconds.

    queue       the queue's record and its generation; or the token of a post that is not yet, or of a pop that is no longer, part of one
    seq         place in the order, or among the messages of such a post
    stage       open, sealed (the queue is being carried away) or importing (it is being brought here)
    available   when the message may be claimed (again): the end of its delay or of its claim
    claim       absent when it never was claimed or has been released

and nonce, client, body (JSON), created, expires, claim_ttl, claimed_at, claim_count.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from messaging.drivers.base import NewMessage, Record, message_id, parse_id
from messaging.drivers.mongodb.server import NOW, Document
from messaging.values import Edge, Message

OPEN, SEALED, IMPORTING = "open", "sealed", "importing"
ORDER = [("seq", 1)]


def alive(now: int) -> Document:
    return {"stage": OPEN, "expires": {"$gt": now}}


def free(now: int) -> Document:
    return {**alive(now), "available": {"$lte": now}}


def held(now: int, claim_id: str) -> Document:
    """Claimed now by this claim."""
    return {"claim": claim_id, **alive(now), "available": {"$gt": now}}


def under(now: int, claim_id: str | None) -> Document:
    """What may be deleted by the holder of this claim, or by one who names none."""
    if claim_id is not None:
        return held(now, claim_id)
    return {**alive(now), "$or": [{"claim": None}, {"available": {"$lte": now}}]}


def among(ids: Iterable[str]) -> list[Document]:
    """Conditions that together hold for these messages of a queue; messages of one post are in one condition."""
    places: dict[str, list[int]] = defaultdict(list)
    for place in map(parse_id, ids):
        if place is not None:
            places[place[1]].append(place[0])
    return [{"seq": {"$in": seqs}, "nonce": nonce} for nonce, seqs in places.items()]


def holding(claim_id: str, ttl: int, grace: int) -> Document:
    """What a claim that begins now makes of its messages."""
    return {
        "claim": {"$literal": claim_id},
        "claim_ttl": ttl,
        "claimed_at": NOW,
        "available": {"$add": [NOW, ttl * 1000]},
        "expires": {"$max": ["$expires", {"$add": [NOW, (ttl + grace) * 1000]}]},
    }


def posted(token: str, nonce: str, client: str, new: Sequence[NewMessage], now: int) -> list[Document]:
    """Messages that are not yet part of a queue."""
    return [
        {
            "queue": token,
            "seq": n,
            "nonce": nonce,
            "stage": OPEN,
            "client": client,
            "body": message.body,
            "created": now,
            "expires": now + message.ttl * 1000,
            "available": now + message.delay * 1000,
            "claim_ttl": 0,
            "claimed_at": 0,
            "claim_count": 0,
        }
        for n, message in enumerate(new)
    ]


def imported(queue: str, r: Record, now: int) -> Document:
    document = {
        "queue": queue,
        "seq": r.seq,
        "nonce": r.nonce,
        "stage": IMPORTING,
        "client": r.client,
        "body": r.body,
        "created": now - r.age,
        "expires": now + r.expires_in,
        "available": now + r.available_in,
        "claim_ttl": r.claim_ttl,
        "claimed_at": now - r.claim_age,
        "claim_count": r.claim_count,
    }
    return document if r.claim_id is None else {**document, "claim": r.claim_id}


def record(m: Mapping[str, Any], now: int) -> Record:
    """Its numbers are plain ones: other stores' clients take no Int64 of BSON."""
    return Record(
        seq=int(m["seq"]),
        nonce=m["nonce"],
        client=m["client"],
        body=m["body"],
        age=now - m["created"],
        expires_in=m["expires"] - now,
        available_in=m["available"] - now,
        claim_id=m.get("claim"),
        claim_ttl=int(m["claim_ttl"]),
        claim_age=now - m["claimed_at"],
        claim_count=int(m["claim_count"]),
    )


def message(m: Mapping[str, Any], now: int) -> Message:
    return Message(
        id=message_id(m["seq"], m["nonce"]),
        body=json.loads(m["body"]),
        ttl=(m["expires"] - m["created"]) // 1000,
        age=max(0, now - m["created"]) // 1000,
        claim_id=m.get("claim") if m["available"] > now else None,
        claim_count=m["claim_count"],
    )


def edge(m: Mapping[str, Any], now: int) -> Edge:
    return Edge(message_id(m["seq"], m["nonce"]), max(0, now - m["created"]) // 1000, m["created"] / 1000)
