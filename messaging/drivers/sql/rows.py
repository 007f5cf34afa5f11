"""Conditions on messages, and what a row means to the caller."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, case, false, select, tuple_

from messaging.drivers.base import NewMessage, message_id, parse_id
from messaging.drivers.sql.tables import messages, now_ms
from messaging.errors import BadClaim, MessageClaimed
from messaging.values import Edge, Message


def of_queue(queue_id: int | ColumnElement[int]) -> ColumnElement[bool]:
    return messages.c.queue_id == queue_id


def alive() -> ColumnElement[bool]:
    return messages.c.expires > now_ms()


def held(claim_id: str | None = None) -> ColumnElement[bool]:
    """Claimed now: by this claim, or by any."""
    mine = messages.c.claim_id.is_not(None) if claim_id is None else messages.c.claim_id == claim_id
    return mine & (messages.c.available > now_ms())


def among(ids: Sequence[str]) -> ColumnElement[bool]:
    places = [place for place in map(parse_id, ids) if place is not None]
    if not places:
        return false()
    # The first condition alone says nothing new, but it is the one that MariaDB finds rows of the primary key by.
    return messages.c.seq.in_([seq for seq, _nonce in places]) & tuple_(messages.c.seq, messages.c.nonce).in_(places)


def free() -> ColumnElement[bool]:
    return messages.c.available <= now_ms()


def first_free(query: Select[Any], queue_id: int | ColumnElement[int], limit: int) -> Select[Any]:
    return query.where(of_queue(queue_id), alive(), free()).order_by(messages.c.seq).limit(limit)


def shown() -> Select[Any]:
    columns = messages.c
    return select(
        columns.seq,
        columns.nonce,
        columns.body,
        columns.created,
        columns.expires,
        columns.available,
        columns.claim_id,
        columns.claim_ttl,
        columns.claimed_at,
        columns.claim_count,
        now_ms().label("now"),
    )


def message(row: Row[Any]) -> Message:
    return Message(
        id=message_id(row.seq, row.nonce),
        body=json.loads(row.body),
        ttl=(row.expires - row.created) // 1000,
        age=max(0, row.now - row.created) // 1000,
        claim_id=row.claim_id if row.available > row.now else None,
        claim_count=row.claim_count,
    )


def edge(row: Row[Any] | None) -> Edge | None:
    if row is None:
        return None
    return Edge(message_id(row.seq, row.nonce), max(0, row.now - row.created) // 1000, row.created / 1000)


def lock(c: Connection, queue_id: int, wanted: ColumnElement[bool]) -> list[int]:
    """The places of the messages that the condition holds for, locked.

    They are looked for first and locked by primary key then: MariaDB would lock whatever index it looks through, entry by entry, and two
    transactions that come by different ways would wait for each other."""
    seqs = c.scalars(select(messages.c.seq).where(of_queue(queue_id), wanted).order_by(messages.c.seq)).all()
    if not seqs:
        return []
    by_key = of_queue(queue_id) & messages.c.seq.in_(seqs)
    c.execute(select(messages.c.seq).where(by_key).order_by(messages.c.seq).with_for_update()).all()
    return list(c.scalars(select(messages.c.seq).where(by_key, wanted)))


def holding(claim_id: str, ttl: int, grace: int) -> dict[str, Any]:
    """What a claim that begins now makes of its messages."""
    least = now_ms() + (ttl + grace) * 1000
    return {
        "claim_id": claim_id,
        "claim_ttl": ttl,
        "claimed_at": now_ms(),
        "available": now_ms() + ttl * 1000,
        "expires": case((messages.c.expires < least, least), else_=messages.c.expires),
    }


def new_row(queue_id: int, seq: int, nonce: str, client: str, new: NewMessage, now: int) -> dict[str, Any]:
    return {
        "queue_id": queue_id,
        "seq": seq,
        "nonce": nonce,
        "client": client,
        "body": new.body,
        "created": now,
        "expires": now + new.ttl * 1000,
        "available": now + new.delay * 1000,
        "claim_id": None,
        "claim_ttl": 0,
        "claimed_at": 0,
        "claim_count": 0,
    }


def check_claim(found: Message, claim_id: str | None) -> None:
    """May the message be deleted under this claim?  Raises MessageClaimed, BadClaim."""
    if found.claim_id == claim_id:
        return
    if found.claim_id is None:
        raise BadClaim("The message is not claimed, or the claim has expired.")
    raise MessageClaimed("The message is claimed by somebody else.")
