"""What the cloud holds against what the rows say.  It only looks: nothing is changed, and what was not made by Coffer is not seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from clouds.ports import Cloud, Port, Server, ServerStatus, Volume, VolumeStatus
from models import Database, Instance, InstanceState

Thing = Server | Volume | Port


@dataclass(frozen=True)
class Known:
    """What a row says of its instance.  `busy`: an operation changes it just now."""

    state: InstanceState
    server_key: str | None
    busy: bool
    generation: int

    @property
    def has_server(self) -> bool:
        return self.state is not InstanceState.DELETED and self.server_key is not None


@dataclass(frozen=True)
class Held:
    servers: Sequence[Server]
    volumes: Sequence[Volume]
    ports: Sequence[Port]

    def things(self) -> Iterator[tuple[str, Thing]]:
        yield from (("server", server) for server in self.servers)
        yield from (("volume", volume) for volume in self.volumes)
        yield from (("port", port) for port in self.ports)


@dataclass(frozen=True)
class Finding:
    """`thing`: server, volume or port.  `id` is empty for what is not there."""

    finding: str
    thing: str
    instance: str
    key: str = ""
    id: str = ""


def look(database: Database, cloud: Cloud) -> list[Finding]:
    """Raises CloudError.  An instance that changes meanwhile is left out: the next look sees it settled."""
    before = _rows(database)
    held = Held(cloud.compute.servers(), cloud.volumes.volumes(), cloud.networks.ports())
    after = _rows(database)
    moving = {id for id in before.keys() | after.keys() if before.get(id) != after.get(id)}
    return [found for found in compare(held, after) if found.instance not in moving]


def compare(held: Held, rows: Mapping[str, Known]) -> list[Finding]:
    found = [*_without_a_row(held, rows), *_not_as_the_row_says(held, rows)]
    return sorted(found, key=lambda one: (one.instance, one.thing, one.finding))


def _without_a_row(held: Held, rows: Mapping[str, Known]) -> Iterator[Finding]:
    for kind, thing in held.things():
        row = rows.get(thing.owner)
        if row is None:
            yield Finding("belongs to no instance", kind, thing.owner, thing.key, thing.id)
        elif not row.busy and not row.has_server:
            left = "deleted" if row.state is InstanceState.DELETED else "without a server"
            yield Finding(f"is left of an instance that is {left}", kind, thing.owner, thing.key, thing.id)


def _not_as_the_row_says(held: Held, rows: Mapping[str, Known]) -> Iterator[Finding]:
    for id, row in rows.items():
        if row.busy or not row.has_server:
            continue
        server = next((one for one in held.servers if one.key == row.server_key), None)
        volumes = [one for one in held.volumes if one.owner == id]
        if server is None:
            yield Finding("is missing", "server", id, str(row.server_key))
        elif server.status not in (ServerStatus.ACTIVE, ServerStatus.REBOOT):
            yield Finding(f"is {server.status}", "server", id, server.key, server.id)
        if not volumes:
            yield Finding("is missing", "volume", id)
        for volume in volumes:
            if volume.status is not VolumeStatus.IN_USE:
                yield Finding(f"is {volume.status}", "volume", id, volume.key, volume.id)
        if not any(one.owner == id for one in held.ports):
            yield Finding("is missing", "port", id)


def _rows(database: Database) -> dict[str, Known]:
    with database.read() as s:
        return {
            row.id: Known(row.state, row.server_key, bool(row.operation_id or row.delete_operation_id), row.generation)
            for row in s.scalars(select(Instance))
        }
