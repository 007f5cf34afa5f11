"""What a store of messages must do.

A store keeps, for each queue placed in it, a record with the generation of the placement.  Every call carries the generation it was
made for and is refused (`Fenced`) when the record has another one, is sealed, or is missing.  So a process that has not
yet heard of a queue's move or deletion can neither read nor write at the old place.

The only clock is the store's own.  A message's id is 16 hexadecimal digits of its order in the queue and 8 random ones.
Every method may raise StoreUnavailable.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from messaging.values import Capability, Claim, Message, Stats

NONCE_DIGITS = 8
ID_DIGITS = 16 + NONCE_DIGITS


class Fenced(Exception):
    """The queue is not, not yet or no longer open here under this generation."""


@dataclass(frozen=True, slots=True)
class QueueKey:
    project: str
    name: str
    generation: int


@dataclass(frozen=True)
class NewMessage:
    body: str
    """JSON"""
    ttl: int
    delay: int


@dataclass(frozen=True)
class Selection:
    """Which messages of a list the caller wants to see."""

    after: int = 0
    limit: int = 10
    without_client: str | None = None
    include_claimed: bool = False
    include_delayed: bool = False


@dataclass(frozen=True)
class ClaimTerms:
    claim_id: str
    ttl: int
    grace: int
    limit: int
    max_claims: int | None = None
    """Messages claimed so many times before are not delivered again but given as dead."""


@dataclass(frozen=True)
class Claimed:
    messages: tuple[Message, ...]
    dead: tuple[Message, ...]
    """Held under the claim `dead_claim(claim_id)` until the caller has filed them elsewhere and deleted them."""


@dataclass(frozen=True)
class Record:
    """A message as it goes from store to store: with its place in the order, its claim, and times in milliseconds from now, since no two
    stores' clocks need agree."""

    seq: int
    nonce: str
    client: str
    body: str
    age: int
    expires_in: int
    available_in: int
    claim_id: str | None
    claim_ttl: int
    claim_age: int
    claim_count: int


@dataclass(frozen=True)
class Gathered:
    """A message as a collector of a whole project sees it."""

    queue: str
    generation: int
    id: str
    body: str
    """JSON text, unparsed"""
    age: int
    """Whole seconds since it was posted, by the store's clock"""


class Store(Protocol):
    capabilities: frozenset[Capability]

    def identity(self) -> str:
        """A random name the store was given at its first use; the same by whatever URI it is reached."""

    def close(self) -> None: ...

    def open_queue(self, key: QueueKey) -> None:
        """Make the queue's record, or leave it when it is there; one of an older generation goes with all it held.
        Raises Fenced when the record is newer, sealed, dropped or being imported."""

    def drop_queue(self, key: QueueKey) -> None:
        """Remove the queue with all it holds, unless its record is of a newer generation.  What remains of it for an hour refuses late
        comers of this generation."""

    def purge(self, key: QueueKey) -> None:
        """Remove all messages.  Raises Fenced."""

    def stats(self, key: QueueKey) -> Stats:
        """Raises Fenced."""

    def sweep(self, limit: int = 1000) -> int:
        """Remove up to `limit` expired messages for good; tells how many.  They are invisible whether or not this is called."""

    def seal_queue(self, key: QueueKey) -> int:
        """Close the queue for everything but `export` and `drop_queue`; gives the last place in its order.
        Repeating it changes nothing; a missing record is made.  Raises Fenced when it has been dropped or is newer."""

    def export(self, key: QueueKey, after: int, limit: int) -> Sequence[Record]:
        """Messages of a sealed queue behind the place `after`, in order.  Raises Fenced."""

    def begin_import(self, key: QueueKey, last: int) -> bool:
        """Make a closed record that `import_records` fills; False when it has been opened already.
        What an older generation left goes.  Raises Fenced when there is a newer one."""

    def import_records(self, key: QueueKey, records: Sequence[Record]) -> None:
        """Add messages; those already there stay as they are.  Raises Fenced unless the queue is being imported."""

    def finish_import(self, key: QueueKey) -> None:
        """Open the imported queue; it may be open already.  Raises Fenced."""

    def post(self, key: QueueKey, messages: Sequence[NewMessage], client: str) -> Sequence[str]:
        """Add all or none, in order, behind everything that is there; gives the ids.  Raises Fenced."""

    def select(self, key: QueueKey, selection: Selection) -> Sequence[Message]:
        """Raises Fenced."""

    def get(self, key: QueueKey, ids: Sequence[str]) -> Sequence[Message]:
        """Those of the messages that are there, in order.  Raises Fenced."""

    def delete(self, key: QueueKey, message_id: str, claim_id: str | None) -> None:
        """An absent message is fine.  Raises Fenced, MessageClaimed, BadClaim."""

    def delete_many(self, key: QueueKey, ids: Sequence[str], claim_ids: Sequence[str] | None) -> int:
        """Without `claim_ids` whoever claims them; otherwise only what those claims hold now.  Tells how many.  Raises Fenced."""

    def pop(self, key: QueueKey, limit: int) -> Sequence[Message]:
        """Take the first free messages away.  Raises Fenced."""

    def claim(self, key: QueueKey, terms: ClaimTerms) -> Claimed:
        """Hold the first free messages for the claim's time.  Repeated with a claim that exists it gives that claim's messages.
        Raises Fenced."""

    def get_claim(self, key: QueueKey, claim_id: str) -> Claim:
        """Raises Fenced, ClaimNotFound."""

    def renew_claim(self, key: QueueKey, claim_id: str, ttl: int, grace: int) -> None:
        """Raises Fenced, ClaimNotFound."""

    def release_claim(self, key: QueueKey, claim_id: str) -> None:
        """Free its messages; an unknown claim is fine.  Raises Fenced."""

    def due(self, keys: Collection[QueueKey]) -> Mapping[QueueKey, float]:
        """In how many seconds a message of each of these queues can be claimed; 0 when one can be now.  It may be sooner than a claim
        will find one, never later.  Queues that are empty, closed or of another generation are left out."""

    def gather(self, project: str, limit: int) -> Sequence[Gathered]:
        """Up to `limit` free messages of all open queues of a project, in order within each queue.  No queue gets more than an equal
        share, and when there are more queues than that, chance chooses, so one that is flooded cannot starve the rest.  Fewer than
        `limit` may be given while there are more; nothing is taken away or held."""

    def discard(self, project: str, gathered: Sequence[Gathered]) -> int:
        """Remove these messages in one go, whoever has claimed them; those of another generation or gone are left out.  Tells how many."""


def new_nonce() -> str:
    return secrets.token_hex(NONCE_DIGITS // 2)


def dead_claim(claim_id: str) -> str:
    return f"{claim_id}-dead"


def message_id(seq: int, nonce: str) -> str:
    return f"{seq:016x}{nonce}"


def parse_id(message: str) -> tuple[int, str] | None:
    """Place and nonce of an id; None for what cannot be one."""
    if len(message) != ID_DIGITS or not set(message) <= set("0123456789abcdef"):
        return None
    return int(message[:16], 16), message[16:]
