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

from clouds.objects import ObjectKey, ObjectStore
from clouds.ports import (
    Cloud,
    FloatingIp,
    Port,
    Record,
    RecordStatus,
    SecurityGroup,
    Server,
    ServerGroup,
    ServerStatus,
    Volume,
    VolumeStatus,
    WantGroup,
    WantRecord,
    WrongRule,
)
from models import InstanceState
from workflows.contracts import CHECKS

FINDINGS = uuid.UUID("b1c1ba0e-5b52-5a0c-8a8e-3f3d0d6a1f55")
_ID = "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
KEY = re.compile(rf"coffer-{_ID}-.+|[^/]+/{CHECKS}{_ID}")

SERVER, ACCESS, USER_PORT = "server", "access", "user-port"
"""How keys end (workflows/instance_create.py)."""

RECORD = "DNS record"


@dataclass(frozen=True)
class SentObject:
    """What a check of an instance has sent to the object store, `key`: project/path.  It bears no mark: the operation that its path names
    is all that there is to go by."""

    key: str
    id: str = ""
    owner: str = ""


Thing = Server | Volume | Port | SecurityGroup | FloatingIp | ServerGroup | Record | SentObject


class Kind(enum.StrEnum):
    ORPHAN = "orphan"
    UNKNOWN = "unknown"
    LOST = "lost"
    FAILED = "failed"
    STOPPED = "stopped"
    DETACHED = "detached"
    RULES = "rules"
    NAMES = "names"
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
    KEEP_ONE = "keep one"
    """Of several volumes with one key."""
    NAME = "name"
    """Make the DNS record as it should be."""


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

    def sibling(self, step: str) -> str:
        """Key of what the operation that made the server has made besides it: volume or port."""
        return str(self.server_key).removesuffix(SERVER) + step


@dataclass(frozen=True)
class Maker:
    """The operation that a key names."""

    instance_id: str
    is_open: bool


@dataclass(frozen=True)
class Source:
    """How one kind of thing is listed and removed.  What has no key of its own is removed with all of its kind that its owner has."""

    thing: str
    all: Callable[[], Sequence[Thing]]
    remove: Callable[[str], None]


def sources(cloud: Cloud, senders: Collection[str] = ()) -> tuple[Source, ...]:
    """In the order of removal: what holds or leads to another comes first.  A new kind of thing is one line.

    `senders`: projects whose guests have ever been asked to send an object.  Others' containers are not looked for: there may be no store.
    """
    return (
        Source("server", cloud.compute.servers, cloud.compute.delete_server),
        Source(RECORD, cloud.names.records, cloud.names.delete_record),
        Source("floating IP", cloud.access.all_floating_ips, cloud.access.delete_floating_ips),
        Source("volume", cloud.volumes.volumes, cloud.volumes.delete_volume),
        Source("port", cloud.networks.ports, cloud.networks.delete_port),
        Source("security group", cloud.access.all_groups, cloud.access.delete_group),
        Source("server group", cloud.groups.all_server_groups, cloud.groups.delete_server_group),
        Source(
            "object",
            lambda: _sent(cloud.objects, senders),
            lambda key: cloud.objects.delete_object(ObjectKey(*key.split("/", 1))),
        ),
    )


ORDER = ("server", RECORD, "floating IP", "volume", "port", "security group", "server group", "object")


def _sent(store: ObjectStore, senders: Collection[str]) -> list[SentObject]:
    return [SentObject(f"{project}/{one.key.path}") for project in senders for one in store.objects(project, CHECKS)]


def key_of(thing: Thing) -> str:
    return "" if isinstance(thing, FloatingIp) else thing.key


@dataclass(frozen=True)
class Held:
    """`things`: by the kind of thing."""

    things: Mapping[str, Sequence[Thing]]
    makers: Mapping[str, Maker] = field(default_factory=dict)
    """By the ids of the operations that the things' keys name, as far as this database knows them."""
    rules: Sequence[WrongRule] = ()
    wanted: Sequence[WantGroup] = ()
    """Security groups as they should be, of instances that have such."""
    names: Sequence[WantRecord] = ()
    """And DNS records."""

    def maker(self, thing: Thing) -> Maker | None:
        """The operation that made it for the instance that it is marked with, or None: it is not ours."""
        if not key_of(thing):
            return Maker(thing.owner, is_open=False)  # its instance's id is all that there is to go by
        made = self.makers.get(operation_of(key_of(thing)))
        return made if made and (made.instance_id == thing.owner or isinstance(thing, SentObject)) else None

    def servers(self) -> list[Server]:
        return [one for one in self.things.get("server", ()) if isinstance(one, Server)]

    def volumes(self) -> list[Volume]:
        return [one for one in self.things.get("volume", ()) if isinstance(one, Volume)]

    def records(self) -> dict[str, Record]:
        """By their keys."""
        return {one.key: one for one in self.things.get(RECORD, ()) if isinstance(one, Record)}

    def keys(self, thing: str) -> set[str]:
        return {key_of(one) for one in self.things.get(thing, ())}


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
    return found[1] or found[2] if found else ""


def compare(held: Held, rows: Mapping[str, Known]) -> list[Finding]:
    found = [
        *_without_a_row(held, rows),
        *_not_as_the_row_says(held, rows),
        *_wrong(held, rows),
        *_names(held, rows),
        *_stuck(rows),
    ]
    return sorted(found, key=lambda one: (one.instance, one.thing, one.finding, one.key))


def compare_servers(servers: Collection[Server], rows: Mapping[str, Known]) -> list[Finding]:
    """Servers that went, stopped or failed after their instance had been READY."""
    by_key = {server.key: server for server in servers}
    return [found for id, row in rows.items() if not row.busy and row.has_server for found in _server(id, row, by_key)]


def _without_a_row(held: Held, rows: Mapping[str, Known]) -> Iterator[Finding]:
    for kind, things in held.things.items():
        for thing in things:
            made = held.maker(thing)
            sent = isinstance(thing, SentObject)
            owner = made.instance_id if made and sent else thing.owner
            row = rows.get(owner)
            if row is None or made is None:
                what = "belongs to no instance" if row is None else "was made by no operation of its instance"
                yield Finding(Kind.UNKNOWN, f"{what} that is known here", kind, owner, key_of(thing), thing.id)
            elif not row.busy and not made.is_open and (sent or not row.has_server):
                left = "deleted" if row.state is InstanceState.DELETED else "without a server"
                what = "is left of a check that has ended" if sent else f"is left of an instance that is {left}"
                yield Finding(Kind.ORPHAN, what, kind, owner, key_of(thing), thing.id, Repair.REMOVE)


def _not_as_the_row_says(held: Held, rows: Mapping[str, Known]) -> Iterator[Finding]:
    servers, volumes, ports = {server.key: server for server in held.servers()}, held.keys("volume"), held.keys("port")
    for id, row in rows.items():
        if row.busy or not row.has_server:
            continue
        yield from _server(id, row, servers)
        if (key := row.sibling("volume")) not in volumes:
            yield Finding(Kind.LOST, "is missing", "volume", id, key)
        user_ports = [want.key.removesuffix(ACCESS) + USER_PORT for want in held.wanted if want.owner == id]
        for key in (row.sibling("port"), *user_ports):
            if key not in ports:
                yield Finding(Kind.LOST, "is missing", "port", id, key)
        mine = [one for one in held.volumes() if one.owner == id]
        in_use = {one.key for one in mine if one.status is VolumeStatus.IN_USE}
        for volume in mine:
            if volume.key in in_use and volume.status is not VolumeStatus.IN_USE:
                yield Finding(Kind.ORPHAN, "is a second one of its key", "volume", id, volume.key, volume.id, Repair.KEEP_ONE)
            else:
                yield from _volume(id, row, volume, servers.get(str(row.server_key)))
        for address in (one for one in held.things.get("floating IP", ()) if isinstance(one, FloatingIp)):
            if address.owner == id and not address.port_id:
                yield Finding(Kind.DETACHED, f"{address.address} leads to no port", "floating IP", id, "", address.id)


def _server(id: str, row: Known, by_key: Mapping[str, Server]) -> Iterator[Finding]:
    server = by_key.get(str(row.server_key))
    mark = Repair.MARK if row.state is InstanceState.READY else Repair.NOTHING
    if server is None:
        yield Finding(Kind.LOST, "is missing", "server", id, str(row.server_key), "", mark)
    elif server.status is ServerStatus.ERROR:
        yield Finding(Kind.FAILED, "is ERROR", "server", id, server.key, server.id, mark)
    elif server.status is ServerStatus.SHUTOFF:
        yield Finding(Kind.STOPPED, f"is {server.status}", "server", id, server.key, server.id, Repair.REPAIR)


def _volume(id: str, row: Known, volume: Volume, server: Server | None) -> Iterator[Finding]:
    if volume.status is VolumeStatus.IN_USE:
        return
    if volume.status is VolumeStatus.AVAILABLE and server is not None:
        attachable = volume.key == row.sibling("volume") and server.status is not ServerStatus.ERROR
        repair = Repair.REPAIR if attachable else Repair.NOTHING
        yield Finding(Kind.DETACHED, "is detached", "volume", id, volume.key, volume.id, repair)
    elif volume.status is not VolumeStatus.AVAILABLE:
        yield Finding(Kind.FAILED, f"is {volume.status}", "volume", id, volume.key, volume.id)


def _wrong(held: Held, rows: Mapping[str, Known]) -> Iterator[Finding]:
    for rule in held.rules:
        row = rows.get(rule.owner)
        if not rule.owner or (row is not None and row.has_server and not row.busy):
            repair = Repair.RULES if rule.mendable else Repair.NOTHING
            yield Finding(Kind.RULES, rule.wrong, rule.thing, rule.owner, rule.key, rule.id, repair)


def _names(held: Held, rows: Mapping[str, Known]) -> Iterator[Finding]:
    records = held.records()
    for want in held.names:
        row, record = rows.get(want.owner), records.get(want.key)
        if row is None or row.busy or not row.has_server:
            continue
        if record is None:
            yield Finding(Kind.LOST, "is missing", RECORD, want.owner, want.key, "", Repair.NAME)
        elif (record.name, record.address) != (want.name, want.address):
            wrong = f"leads from {record.name} to {record.address} instead of {want.name} to {want.address}"
            yield Finding(Kind.NAMES, wrong, RECORD, want.owner, want.key, record.id, Repair.NAME)
        elif record.status is RecordStatus.ERROR:
            yield Finding(Kind.FAILED, "is ERROR", RECORD, want.owner, want.key, record.id)


def _stuck(rows: Mapping[str, Known]) -> Iterator[Finding]:
    for id, row in rows.items():
        if row.held:
            yield Finding(Kind.STUCK, "is held by an operation that is not open", "instance", id)
        elif row.state is InstanceState.BUILDING and not row.busy:
            yield Finding(Kind.STUCK, "is BUILDING without an operation", "instance", id)
