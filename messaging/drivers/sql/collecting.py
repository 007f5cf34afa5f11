"""Messages of all queues of a project at once, in as many statements whatever the number of queues."""

import json
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, Subquery, TextClause, func, select, text, tuple_

from messaging.drivers.base import Gathered, QueueKey, message_id, parse_id
from messaging.drivers.sql import places, rows
from messaging.drivers.sql.tables import messages, now_ms, queues

_LAST = 2**63 - 1
# The list comes as one JSON text: thousands of tuples as parameters take databases longer to plan than to delete.
_DISCARD = {
    "sqlite": """
        DELETE FROM coffer_messages WHERE expires > {now} AND (queue_id, seq, nonce) IN
        (SELECT value ->> '$[0]', value ->> '$[1]', value ->> '$[2]' FROM json_each(:wanted))""",
    "postgresql": """
        DELETE FROM coffer_messages m USING json_array_elements(CAST(:wanted AS json)) w
        WHERE m.queue_id = CAST(w ->> 0 AS bigint) AND m.seq = CAST(w ->> 1 AS bigint) AND m.nonce = w ->> 2 AND m.expires > {now}""",
    "mysql": """
        DELETE m FROM coffer_messages m JOIN JSON_TABLE(:wanted, '$[*]' COLUMNS
        (q BIGINT PATH '$[0]', s BIGINT PATH '$[1]', n VARCHAR(8) PATH '$[2]')) w
        ON m.queue_id = w.q AND m.seq = w.s AND m.nonce = w.n WHERE m.expires > {now}""",
}


def gather(c: Connection, project: str, limit: int) -> list[Gathered]:
    chosen = _queues_with_messages(c, project, limit)
    if not chosen:
        return []
    bounds = _bounds(chosen, limit // len(chosen))
    found = (
        select(bounds.c.name, bounds.c.generation, messages.c.seq, messages.c.nonce, messages.c.body)
        .add_columns(messages.c.created, now_ms().label("now"))
        .join(bounds, (messages.c.queue_id == bounds.c.id) & (messages.c.seq <= bounds.c.last))
        .where(rows.alive(), rows.free())
        .order_by(messages.c.queue_id, messages.c.seq)
        .limit(limit)
    )
    return [
        Gathered(m.name, m.generation, message_id(m.seq, m.nonce), m.body, max(0, m.now - m.created) // 1000)
        for m in c.execute(found)
    ]


def _queues_with_messages(c: Connection, project: str, limit: int) -> Sequence[int]:
    """Ids of open queues, by chance when there are too many."""
    filled = select(messages.c.queue_id).distinct().subquery()
    open_here = (queues.c.project == project) & (queues.c.state == places.OPEN)
    query = select(queues.c.id).join(filled, filled.c.queue_id == queues.c.id).where(open_here)
    return c.scalars(query.order_by(func.random()).limit(limit)).all()


def _bounds(chosen: Sequence[int], share: int) -> Subquery:
    """The queues with the place of the last of their first `share` free messages."""
    nth = rows.first_free(select(messages.c.seq), queues.c.id, 1).offset(share - 1).correlate(queues).scalar_subquery()
    query = select(queues.c.id, queues.c.name, queues.c.generation, func.coalesce(nth, _LAST).label("last")).where(
        queues.c.id.in_(chosen), queues.c.state == places.OPEN
    )
    # The limit takes nothing away: it keeps databases from looking for the n-th message again for every message.
    return query.limit(len(chosen)).subquery()


def due(c: Connection, keys: Collection[QueueKey]) -> dict[QueueKey, float]:
    earliest = func.min(messages.c.available - now_ms()).label("earliest")
    named = tuple_(queues.c.project, queues.c.name).in_([(key.project, key.name) for key in keys])
    query = (
        select(queues.c.project, queues.c.name, queues.c.generation, earliest)
        .join(messages, messages.c.queue_id == queues.c.id)
        # The names alone say nothing new, but by them MariaDB finds its way.
        .where(queues.c.project.in_({key.project for key in keys}), queues.c.name.in_({key.name for key in keys}), named)
        .where(queues.c.state == places.OPEN, rows.alive())
        .group_by(queues.c.project, queues.c.name, queues.c.generation)
    )
    found = ((QueueKey(*place), max(0, wait) / 1000) for *place, wait in c.execute(query))
    return {key: seconds for key, seconds in found if key in keys}


def discard(c: Connection, project: str, gathered: Sequence[Gathered]) -> int:
    ids = places.enter_many(c, project, {(one.queue, one.generation) for one in gathered})
    wanted = sorted(
        (ids[one.queue, one.generation], *place)
        for one in gathered
        if (one.queue, one.generation) in ids and (place := parse_id(one.id))
    )
    return c.execute(_discarding(c), {"wanted": json.dumps(wanted)}).rowcount if wanted else 0


def _discarding(c: Connection) -> TextClause:
    dialect = c.dialect
    return text(_DISCARD[dialect.name].format(now=now_ms().compile(dialect=dialect)))
