"""What the services take and give: values without behaviour."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

Json: TypeAlias = Any
T = TypeVar("T")


class Capability(enum.StrEnum):
    FIFO = "FIFO"
    CLAIMS = "CLAIMS"
    DURABILITY = "DURABILITY"
    AOD = "AOD"
    HIGH_THROUGHPUT = "HIGH_THROUGHPUT"


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items of a longer list; the next page starts behind `marker` (the last item's name or id, None when there is no item)."""

    items: tuple[T, ...]
    marker: str | None


@dataclass(frozen=True)
class Pool:
    """`uri` may hold a password: for the administrator's eyes only."""

    name: str
    uri: str = field(repr=False)
    weight: int
    flavor: str | None
    options: Mapping[str, Json]


@dataclass(frozen=True)
class Flavor:
    name: str
    pool_list: tuple[str, ...]
    capabilities: tuple[str, ...]


@dataclass(frozen=True)
class Queue:
    """`metadata` holds what was set, without the defaults (messaging.metadata.shown adds them)."""

    name: str
    metadata: Mapping[str, Json]


@dataclass(frozen=True)
class QueuePage:
    page: Page[Queue]
    count: int | None
    """All queues that match, of every page; None unless asked for."""


@dataclass(frozen=True)
class MetadataChange:
    """One step of a JSON patch on /metadata/<key>."""

    op: str
    """add, replace or remove"""
    key: str
    value: Json = None


@dataclass(frozen=True)
class Draft:
    """A message to be posted; None: the queue's default."""

    body: Json
    ttl: int | None = None
    delay: int | None = None


@dataclass(frozen=True)
class Message:
    id: str
    body: Json
    ttl: int
    """Seconds from posting to expiry; grows when a claim has to outlive the message."""
    age: int
    claim_id: str | None
    """The claim that holds it now."""
    claim_count: int


@dataclass(frozen=True)
class Claim:
    id: str
    ttl: int
    age: int
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Edge:
    """The oldest or newest message of a queue."""

    id: str
    age: int
    created: float
    """Unix time by the store's clock."""


@dataclass(frozen=True)
class Stats:
    claimed: int
    free: int
    total: int
    oldest: Edge | None
    newest: Edge | None


EMPTY_STATS = Stats(claimed=0, free=0, total=0, oldest=None, newest=None)
