"""What the cloud holds against what the rows say.  It only looks, and what was not made by Coffer is not seen.

Whose a thing is.  Its key names the operation that made it: it is this deployment's if that operation is in this database and was about the
instance that the thing is marked with.  Anything else that bears Coffer's mark belongs to another deployment, or to a database of which this one is
an older copy; it is told and never touched.
"""

import enum
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from clouds.ports import Cloud, Port, Server, ServerStatus, Volume, VolumeStatus, WrongRule
from models import InstanceState

FINDINGS = uuid.UUID("b1c1ba0e-5b52-5a0c-8a8e-3f3d0d6a1f55")
KEY = re.compile(r"coffer-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-.+")

Thing = Server | Volume | Port


class Kind(enum.StrEnum):
    ORPHAN = "orphan"
    UNKNOWN = "unknown"
    LOST = "lost"
    FAILED = "failed"
    STOPPED = "stopped"
    DETACHED = "detached"
    RULES = "rules"
    STUCK = "stuck"


class Repair(enum.StrEnum):
    """What `coffer reconcile --fix` does about a finding."""

    NOTHING = ""
    REMOVE = "remove"
    MARK = "mark"
    """Set the instance to ERROR, with a reason that its tenant can read."""
    REPAIR = "repair"
    """InstanceRepair: attach the volume, start the server, see the engine answer."""
    RULES = "set"


@dataclass(frozen=True)
class Known:
    """What a row says of its instance.  `busy`: an operation changes it just now; `held`: by an operation that is not open."""

    state: InstanceState
    server_key: str | None
    busy: bool
    generation: int
    held: bool = False

    @property
    def has_server(self) -> bool:
        return self.state is not InstanceState.DELETED and self.server_key is not None


@dataclass(frozen=True)
class Maker:
    """The operation that a key names."""

    instance_id: str
    is_open: bool


@dataclass(frozen=True)
class Source:
    """How one kind of thing is listed, and removed by its key."""

    thing: str
    all: Callable[[], Sequence[Thing]]
    remove: Callable[[str], None]


def sources(cloud: Cloud) -> tuple[Source, ...]:
    """A new kind of thing with an id, a key and an owner is one line here, and a word in ORDER if another holds it."""
    return (
        Source("server", cloud.compute.servers, cloud.compute.delete_server),
        Source("volume", cloud.volumes.volumes, cloud.volumes.delete_volume),
        Source("port", cloud.networks.ports, cloud.networks.delete_port),
    )


ORDER = ("server", "volume", "port")
"""Of repairs: what holds another comes first."""


@dataclass(frozen=True)
class Held:
    """`things`: by the kind of thing."""

    things: Mapping[str, Sequence[Thing]]
    makers: Mapping[str, Maker] = field(default_factory=dict)
    """By the ids of the operations that the things' keys name, as far as this database knows them."""
    rules: Sequence[WrongRule] = ()

    def maker(self, thing: Thing | Port) -> Maker | None:
        """The operation that made it for the instance that it is marked with, or None: it is not ours."""
        made = self.makers.get(operation_of(thing.key))
        return made if made and made.instance_id == thing.owner else None

    def servers(self) -> list[Server]:
        return [one for one in self.things.get("server", ()) if isinstance(one, Server)]

    def volumes(self) -> list[Volume]:
        return [one for one in self.things.get("volume", ()) if isinstance(one, Volume)]

    def owners(self, thing: str) -> set[str]:
        return {one.owner for one in self.things.get(thing, ())}


@dataclass(frozen=True)
class Finding:
    """`id` is empty for what is not there."""

    kind: Kind
    finding: str
    thing: str
    instance: str
    key: str = ""
    id: str = ""
    repair: Repair = Repair.NOTHING

    @property
    def rank(self) -> int:
        """Lower ones are to be mended first."""
        return ORDER.index(self.thing) if self.thing in ORDER else len(ORDER)

    @property
    def row_id(self) -> str:
        """The same in every look."""
        return str(uuid.uuid5(FINDINGS, "\n".join((self.kind, self.finding, self.thing, self.instance, self.key, self.id))))


def operation_of(key: str) -> str:
    """The id in a key; empty: it is not one of ours."""
    found = KEY.fullmatch(key)
    return found[1] if found else ""


def compare(held: Held, rows: Mapping[str, Known]) -> list[Finding]:
    found = [*_without_a_row(held, rows), *_not_as_the_row_says(held, rows), *_wrong(held, rows), *_stuck(rows)]
    return sorted(found, key=lambda one: (one.instance, one.thing, one.finding, one.key))


def compare_servers(servers: Collection[Server], rows: Mapping[str, Known]) -> list[Finding]:
    """Servers that went, stopped or failed after their instance had been READY."""
    by_key = {server.key: server for server in servers}
    return [found for id, row in rows.items() if not row.busy and row.has_server for found in _server(id, row, by_key)]


def _without_a_row(held: Held, rows: Mapping[str, Known]) -> Iterator[Finding]:
    for kind, things in held.things.items():
        for thing in things:
            row, made = rows.get(thing.owner), held.maker(thing)
            if row is None or made is None:
                what = "belongs to no instance" if row is None else "was made by no operation of its instance"
                yield Finding(Kind.UNKNOWN, f"{what} that is known here", kind, thing.owner, thing.key, thing.id)
            elif not row.busy and not made.is_open and not row.has_server:
                left = "deleted" if row.state is InstanceState.DELETED else "without a server"
                what = f"is left of an instance that is {left}"
                yield Finding(Kind.ORPHAN, what, kind, thing.owner, thing.key, thing.id, Repair.REMOVE)


def _not_as_the_row_says(held: Held, rows: Mapping[str, Known]) -> Iterator[Finding]:
    by_key = {server.key: server for server in held.servers()}
    with_port = held.owners("port")
    for id, row in rows.items():
        if row.busy or not row.has_server:
            continue
        yield from _server(id, row, by_key)
        volumes = [one for one in held.volumes() if one.owner == id]
        if not volumes:
            yield Finding(Kind.LOST, "is missing", "volume", id)
        for volume in volumes:
            yield from _volume(id, volume, by_key.get(str(row.server_key)))
        if id not in with_port:
            yield Finding(Kind.LOST, "is missing", "port", id)


def _server(id: str, row: Known, by_key: Mapping[str, Server]) -> Iterator[Finding]:
    server = by_key.get(str(row.server_key))
    mark = Repair.MARK if row.state is InstanceState.READY else Repair.NOTHING
    if server is None:
        yield Finding(Kind.LOST, "is missing", "server", id, str(row.server_key), "", mark)
    elif server.status is ServerStatus.ERROR:
        yield Finding(Kind.FAILED, "is ERROR", "server", id, server.key, server.id, mark)
    elif server.status is ServerStatus.SHUTOFF:
        yield Finding(Kind.STOPPED, f"is {server.status}", "server", id, server.key, server.id, Repair.REPAIR)


def _volume(id: str, volume: Volume, server: Server | None) -> Iterator[Finding]:
    if volume.status is VolumeStatus.IN_USE:
        return
    if volume.status is VolumeStatus.AVAILABLE and server is not None:
        repair = Repair.NOTHING if server.status is ServerStatus.ERROR else Repair.REPAIR
        yield Finding(Kind.DETACHED, "is detached", "volume", id, volume.key, volume.id, repair)
    elif volume.status is not VolumeStatus.AVAILABLE:
        yield Finding(Kind.FAILED, f"is {volume.status}", "volume", id, volume.key, volume.id)


def _wrong(held: Held, rows: Mapping[str, Known]) -> Iterator[Finding]:
    for rule in held.rules:
        row = rows.get(rule.owner)
        if not rule.owner or (row is not None and row.has_server and not row.busy):
            repair = Repair.RULES if rule.mendable else Repair.NOTHING
            yield Finding(Kind.RULES, rule.wrong, rule.thing, rule.owner, rule.key, rule.id, repair)


def _stuck(rows: Mapping[str, Known]) -> Iterator[Finding]:
    for id, row in rows.items():
        if row.held:
            yield Finding(Kind.STUCK, "is held by an operation that is not open", "instance", id)
        elif row.state is InstanceState.BUILDING and not row.busy:
            yield Finding(Kind.STUCK, "is BUILDING without an operation", "instance", id)
