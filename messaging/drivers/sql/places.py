"""Records of queues: opening, closing, importing, dropping, each refused for another generation."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Select, bindparam, delete, insert, select, update

from messaging.drivers.base import Fenced, QueueKey, Record
from messaging.drivers.sql.tables import messages, now_ms, queues
from messaging.errors import StoreUnavailable

OPEN, SEALED, IMPORTING, GONE = "open", "sealed", "importing", "gone"

# What every call begins with is put together once: that costs more than to run it.
_OPEN_HERE = (
    (queues.c.project == bindparam("of_project"))
    & (queues.c.name == bindparam("of_name"))
    & (queues.c.generation == bindparam("of_generation"))
    & (queues.c.state == OPEN)
)
_LOOK = select(queues.c.id).where(_OPEN_HERE)
# KEY SHARE lets posts raise last_seq meanwhile; where it is unknown, a plain shared lock does.
_ENTER = _LOOK.with_for_update(read=True, key_share=True)
_ADVANCE = update(queues).where(_OPEN_HERE).values(last_seq=queues.c.last_seq + bindparam("count"))
_PLACE_AND_TIME = select(queues.c.id, queues.c.last_seq, now_ms()).where(_OPEN_HERE)
_ADVANCE_AND_TELL = _ADVANCE.returning(*_PLACE_AND_TIME.selected_columns)


class Place(NamedTuple):
    """A queue's record."""

    id: int
    generation: int
    state: str
    last_seq: int


def record(c: Connection, key: QueueKey, *, lock: bool = False) -> Place | None:
    query = select(queues.c.id, queues.c.generation, queues.c.state, queues.c.last_seq).where(
        queues.c.project == key.project, queues.c.name == key.name
    )
    found = c.execute(query.with_for_update() if lock else query).one_or_none()
    return None if found is None else Place(*found)


def enter(c: Connection, key: QueueKey) -> int:
    """The id of the open queue; it cannot be sealed before the transaction has ended.  Raises Fenced."""
    return _found(c, _ENTER, key)


def enter_many(c: Connection, project: str, wanted: Collection[tuple[str, int]]) -> dict[tuple[str, int], int]:
    """The ids of those queues (name, generation) that are open; they cannot be sealed before the transaction has ended."""
    names = [name for name, _generation in wanted]
    query = select(queues.c.name, queues.c.generation, queues.c.id).where(
        queues.c.project == project, queues.c.name.in_(names), queues.c.state == OPEN
    )
    locked = c.execute(query.order_by(queues.c.id).with_for_update(read=True, key_share=True))
    return {(name, generation): queue_id for name, generation, queue_id in locked if (name, generation) in wanted}


def look(c: Connection, key: QueueKey) -> int:
    """The id of the open queue, without a lock.  Raises Fenced."""
    return _found(c, _LOOK, key)


def advance(c: Connection, key: QueueKey, count: int) -> tuple[int, int, int]:
    """Take the next `count` places of the order: (id of the queue, last place, now).  Raises Fenced."""
    here = {**_here(key), "count": count}
    if c.dialect.update_returning:
        taken = c.execute(_ADVANCE_AND_TELL, here).one_or_none()
    else:
        c.execute(_ADVANCE, here)
        taken = c.execute(_PLACE_AND_TIME, here).one_or_none()
    if taken is None:
        raise Fenced
    queue_id, last, now = taken
    return queue_id, last, now


def open_queue(c: Connection, key: QueueKey) -> None:
    found = record(c, key, lock=True)
    if found is not None and found.generation == key.generation and found.state == OPEN:
        return
    # Orders begin at the clock's microseconds, so that a queue made again continues behind its former self and old markers hold.
    _renew(c, key, found, OPEN, _clock(c) * 1000)


def seal_queue(c: Connection, key: QueueKey) -> int:
    found = record(c, key, lock=True)
    if found is None or found.generation < key.generation:
        _renew(c, key, found, SEALED, 0)
        return 0
    if found.generation > key.generation or found.state not in (OPEN, SEALED):
        raise Fenced
    c.execute(update(queues).where(queues.c.id == found.id).values(state=SEALED))
    return found.last_seq


def drop_queue(c: Connection, key: QueueKey) -> None:
    found = record(c, key, lock=True)
    if found is None or found.generation < key.generation:
        _renew(c, key, found, GONE, 0)
    elif found.generation == key.generation:
        _clear(c, found.id)
        c.execute(update(queues).where(queues.c.id == found.id).values(state=GONE, changed=now_ms()))


def begin_import(c: Connection, key: QueueKey, last: int) -> bool:
    found = record(c, key, lock=True)
    if found is None or found.generation < key.generation:
        _renew(c, key, found, IMPORTING, last)
        return True
    if found.generation > key.generation or found.state not in (OPEN, IMPORTING):
        raise Fenced
    return found.state == IMPORTING


def import_records(c: Connection, key: QueueKey, records: Sequence[Record]) -> None:
    found = record(c, key, lock=True)
    if found is None or found.generation != key.generation or found.state != IMPORTING:
        raise Fenced
    known = select(messages.c.seq).where(messages.c.queue_id == found.id, messages.c.seq.in_([r.seq for r in records]))
    there = set(c.scalars(known))
    now = _clock(c)
    rows = [_row(found.id, r, now) for r in records if r.seq not in there]
    if rows:
        c.execute(insert(messages), rows)


def finish_import(c: Connection, key: QueueKey) -> None:
    found = record(c, key, lock=True)
    if found is None or found.generation != key.generation or found.state not in (OPEN, IMPORTING):
        raise Fenced
    c.execute(update(queues).where(queues.c.id == found.id).values(state=OPEN))


def export(c: Connection, key: QueueKey, after: int, limit: int) -> list[Record]:
    found = record(c, key)
    if found is None or found.generation != key.generation or found.state != SEALED:
        raise Fenced
    query = (
        select(messages, now_ms().label("now"))
        .where(messages.c.queue_id == found.id, messages.c.seq > after, messages.c.expires > now_ms())
        .order_by(messages.c.seq)
        .limit(limit)
    )
    return [
        Record(
            seq=m.seq,
            nonce=m.nonce,
            client=m.client,
            body=m.body,
            age=m.now - m.created,
            expires_in=m.expires - m.now,
            available_in=m.available - m.now,
            claim_id=m.claim_id,
            claim_ttl=m.claim_ttl,
            claim_age=m.now - m.claimed_at,
            claim_count=m.claim_count,
        )
        for m in c.execute(query)
    ]


def _renew(c: Connection, key: QueueKey, found: Place | None, state: str, last: int) -> None:
    """Make the record, or turn one of an older generation into it.  Raises Fenced when it is not older."""
    if found is None:
        row = {"project": key.project, "name": key.name, "generation": key.generation, "state": state, "last_seq": last}
        c.execute(insert(queues).values(**row, changed=now_ms()))
        return
    if found.generation >= key.generation:
        raise Fenced
    _clear(c, found.id)
    values = {"generation": key.generation, "state": state, "last_seq": max(last, found.last_seq)}
    c.execute(update(queues).where(queues.c.id == found.id).values(**values, changed=now_ms()))


def _row(queue_id: int, r: Record, now: int) -> dict[str, object]:
    return {
        "queue_id": queue_id,
        "seq": r.seq,
        "nonce": r.nonce,
        "client": r.client,
        "body": r.body,
        "created": now - r.age,
        "expires": now + r.expires_in,
        "available": now + r.available_in,
        "claim_id": r.claim_id,
        "claim_ttl": r.claim_ttl,
        "claimed_at": now - r.claim_age,
        "claim_count": r.claim_count,
    }


def _clear(c: Connection, queue_id: int) -> None:
    c.execute(delete(messages).where(messages.c.queue_id == queue_id))


def _clock(c: Connection) -> int:
    now: int | None = c.scalar(select(now_ms()))
    if now is None:
        raise StoreUnavailable("The message store has no clock.")
    return now


def _found(c: Connection, statement: Select[int], key: QueueKey) -> int:
    queue_id = c.scalar(statement, _here(key))
    if queue_id is None:
        raise Fenced
    return queue_id


def _here(key: QueueKey) -> dict[str, str | int]:
    return {"of_project": key.project, "of_name": key.name, "of_generation": key.generation}
