"""The storage driver for SQL databases."""

import secrets
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, delete, func, insert, select, update

from messaging.drivers.base import (
    Claimed,
    ClaimTerms,
    Gathered,
    NewMessage,
    QueueKey,
    Record,
    Selection,
    dead_claim,
    message_id,
    new_nonce,
)
from messaging.drivers.registry import CAPABILITIES
from messaging.drivers.sql import collecting, places, rows
from messaging.drivers.sql.tables import messages, now_ms, queues, store
from messaging.drivers.sql.transactions import Transactions
from messaging.errors import ClaimNotFound
from messaging.values import Claim, Message, Stats

GONE_MS = 3_600_000


def open_store(uri: str) -> "SqlStore":
    return SqlStore(uri)


class SqlStore:
    capabilities = CAPABILITIES["sqlite"]

    def __init__(self, uri: str) -> None:
        self._transactions = Transactions(uri)

    def identity(self) -> str:
        def work(c: Connection) -> str:
            found = c.scalar(select(store.c.identity))
            if found is None:
                found = secrets.token_hex(16)
                c.execute(insert(store).values(only=1, identity=found))
            return found

        return self._transactions.write(work)

    def close(self) -> None:
        self._transactions.close()

    def open_queue(self, key: QueueKey) -> None:
        self._transactions.write(lambda c: places.open_queue(c, key))

    def drop_queue(self, key: QueueKey) -> None:
        self._transactions.write(lambda c: places.drop_queue(c, key))

    def seal_queue(self, key: QueueKey) -> int:
        return self._transactions.write(lambda c: places.seal_queue(c, key))

    def export(self, key: QueueKey, after: int, limit: int) -> list[Record]:
        return self._transactions.read(lambda c: places.export(c, key, after, limit))

    def begin_import(self, key: QueueKey, last: int) -> bool:
        return self._transactions.write(lambda c: places.begin_import(c, key, last))

    def import_records(self, key: QueueKey, records: Sequence[Record]) -> None:
        self._transactions.write(lambda c: places.import_records(c, key, records))

    def finish_import(self, key: QueueKey) -> None:
        self._transactions.write(lambda c: places.finish_import(c, key))

    def purge(self, key: QueueKey) -> None:
        self._transactions.write(lambda c: c.execute(delete(messages).where(rows.of_queue(places.enter(c, key)))))

    def sweep(self, limit: int = 1000) -> int:
        def work(c: Connection) -> int:
            c.execute(delete(queues).where(queues.c.state == places.GONE, queues.c.changed < now_ms() - GONE_MS))
            expired = select(messages.c.queue_id, messages.c.seq).where(messages.c.expires <= now_ms()).limit(limit)
            gone = (
                delete(messages).where(rows.of_queue(queue_id), messages.c.seq == seq, messages.c.expires <= now_ms())
                for queue_id, seq in c.execute(expired).all()
            )
            return sum(c.execute(one).rowcount for one in gone)

        return self._transactions.write(work)

    def stats(self, key: QueueKey) -> Stats:
        def work(c: Connection) -> Stats:
            queue_id = places.look(c, key)
            live = rows.of_queue(queue_id) & rows.alive()
            counts = select(func.count(), func.coalesce(func.sum(case((rows.held(), 1), else_=0)), 0)).where(live)
            total, held = c.execute(counts).one()
            edges = select(messages.c.seq, messages.c.nonce, messages.c.created, now_ms().label("now")).where(live).limit(1)
            oldest = c.execute(edges.order_by(messages.c.seq)).one_or_none()
            newest = c.execute(edges.order_by(messages.c.seq.desc())).one_or_none()
            places.look(c, key)
            return Stats(int(held), total - int(held), total, rows.edge(oldest), rows.edge(newest))

        return self._transactions.read(work)

    def post(self, key: QueueKey, new: Sequence[NewMessage], client: str) -> list[str]:
        nonce = new_nonce()

        def work(c: Connection) -> list[str]:
            queue_id, last, now = places.advance(c, key, len(new))
            seqs = range(last - len(new) + 1, last + 1)
            c.execute(
                insert(messages),
                [rows.new_row(queue_id, seq, nonce, client, message, now) for seq, message in zip(seqs, new, strict=True)],
            )
            return [message_id(seq, nonce) for seq in seqs]

        return self._transactions.write(work)

    def select(self, key: QueueKey, selection: Selection) -> list[Message]:
        def work(c: Connection) -> list[Message]:
            query = rows.shown().where(rows.of_queue(places.look(c, key)), rows.alive(), messages.c.seq > selection.after)
            if selection.without_client is not None:
                query = query.where(messages.c.client != selection.without_client)
            if not selection.include_claimed:
                query = query.where(~rows.held())
            if not selection.include_delayed:
                query = query.where(messages.c.claim_id.is_not(None) | (messages.c.available <= now_ms()))
            return self._seen(c, key, query.order_by(messages.c.seq).limit(selection.limit))

        return self._transactions.read(work)

    def get(self, key: QueueKey, ids: Sequence[str]) -> list[Message]:
        def work(c: Connection) -> list[Message]:
            query = rows.shown().where(rows.of_queue(places.look(c, key)), rows.alive(), rows.among(ids))
            return self._seen(c, key, query.order_by(messages.c.seq))

        return self._transactions.read(work)

    def delete(self, key: QueueKey, wanted: str, claim_id: str | None) -> None:
        def work(c: Connection) -> None:
            mine = rows.of_queue(places.enter(c, key)) & rows.among([wanted])
            found = c.execute(rows.shown().where(mine, rows.alive()).with_for_update()).one_or_none()
            if found is None:
                return
            rows.check_claim(rows.message(found), claim_id)
            c.execute(delete(messages).where(mine))

        self._transactions.write(work)

    def delete_many(self, key: QueueKey, ids: Sequence[str], claim_ids: Sequence[str] | None) -> int:
        def work(c: Connection) -> int:
            queue_id = places.enter(c, key)
            wanted = rows.among(ids) & rows.alive()
            if claim_ids is not None:
                wanted &= rows.held() & messages.c.claim_id.in_(claim_ids)
            found = rows.lock(c, queue_id, wanted)
            c.execute(delete(messages).where(rows.of_queue(queue_id), messages.c.seq.in_(found)))
            return len(found)

        return self._transactions.write(work)

    def pop(self, key: QueueKey, limit: int) -> list[Message]:
        def work(c: Connection) -> list[Message]:
            queue_id = places.enter(c, key)
            found = c.execute(self._locked(rows.first_free(rows.shown(), queue_id, limit))).all()
            c.execute(delete(messages).where(rows.of_queue(queue_id), messages.c.seq.in_([m.seq for m in found])))
            return [rows.message(m) for m in found]

        return self._transactions.write(work)

    def claim(self, key: QueueKey, terms: ClaimTerms) -> Claimed:
        def work(c: Connection) -> Claimed:
            queue_id = places.enter(c, key)
            dead: list[Message] = []
            worn = messages.c.claim_count >= (terms.max_claims or 0)
            if terms.max_claims is not None:
                dead = self._hold(c, queue_id, terms, dead_claim(terms.claim_id), worn)
            fresh = self._hold(c, queue_id, terms, terms.claim_id, None if terms.max_claims is None else ~worn)
            return Claimed(tuple(fresh), tuple(dead))

        return self._transactions.write(work)

    def get_claim(self, key: QueueKey, claim_id: str) -> Claim:
        def work(c: Connection) -> Claim:
            query = rows.shown().where(rows.of_queue(places.look(c, key)), rows.alive(), rows.held(claim_id))
            found = c.execute(query.order_by(messages.c.seq)).all()
            if not found:
                places.look(c, key)
                raise ClaimNotFound(f"Claim {claim_id} does not exist.")
            first = found[0]
            age = max(0, first.now - first.claimed_at) // 1000
            return Claim(claim_id, first.claim_ttl, age, tuple(rows.message(m) for m in found))

        return self._transactions.read(work)

    def renew_claim(self, key: QueueKey, claim_id: str, ttl: int, grace: int) -> None:
        def work(c: Connection) -> None:
            queue_id = places.enter(c, key)
            found = rows.lock(c, queue_id, rows.alive() & rows.held(claim_id))
            if not found:
                raise ClaimNotFound(f"Claim {claim_id} does not exist.")
            mine = rows.of_queue(queue_id) & messages.c.seq.in_(found)
            c.execute(update(messages).where(mine).values(rows.holding(claim_id, ttl, grace)))

        self._transactions.write(work)

    def release_claim(self, key: QueueKey, claim_id: str) -> None:
        def work(c: Connection) -> None:
            queue_id = places.enter(c, key)
            mine = rows.of_queue(queue_id) & messages.c.seq.in_(rows.lock(c, queue_id, rows.held(claim_id)))
            c.execute(update(messages).where(mine).values(claim_id=None, available=now_ms()))

        self._transactions.write(work)

    def due(self, keys: Collection[QueueKey]) -> dict[QueueKey, float]:
        return self._transactions.read(lambda c: collecting.due(c, keys)) if keys else {}

    def gather(self, project: str, limit: int) -> list[Gathered]:
        return self._transactions.read(lambda c: collecting.gather(c, project, limit))

    def discard(self, project: str, gathered: Sequence[Gathered]) -> int:
        return self._transactions.write(lambda c: collecting.discard(c, project, gathered)) if gathered else 0

    def _hold(
        self, c: Connection, queue_id: int, terms: ClaimTerms, claim_id: str, only: ColumnElement[bool] | None
    ) -> list[Message]:
        query = rows.first_free(select(messages.c.seq), queue_id, terms.limit)
        chosen = c.scalars(self._locked(query if only is None else query.where(only))).all()
        if not chosen:
            return []
        taken = rows.of_queue(queue_id) & messages.c.seq.in_(chosen) & (messages.c.available <= now_ms())
        raised = {"claim_count": messages.c.claim_count + 1, **rows.holding(claim_id, terms.ttl, terms.grace)}
        c.execute(update(messages).where(taken).values(raised))
        held = rows.shown().where(rows.of_queue(queue_id), messages.c.seq.in_(chosen), messages.c.claim_id == claim_id)
        return [rows.message(m) for m in c.execute(held.order_by(messages.c.seq))]

    def _seen(self, c: Connection, key: QueueKey, query: Select[Any]) -> list[Message]:
        found = [rows.message(m) for m in c.execute(query)]
        # The queue may have moved between the two looks, and nothing here would then mean nothing at all.
        places.look(c, key)
        return found

    def _locked(self, query: Select[Any]) -> Select[Any]:
        return query.with_for_update(skip_locked=self._transactions.skips_locked)
