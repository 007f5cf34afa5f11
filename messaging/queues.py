"""Queues of a project."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from messaging import metadata as meta
from messaging.catalogue import OPEN, Catalogue
from messaging.errors import QueueNotFound
from messaging.names import check_queue
from messaging.values import EMPTY_STATS, Json, MetadataChange, Page, Queue, QueuePage, Stats
from models import Database
from models.messaging import CatalogueRow


class Queues:
    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = catalogue

    def put(self, project: str, name: str, metadata: Json = None) -> bool:
        """Make a queue; False when it is there already, and then its metadata stays.

        Raises InvalidRequest, UnknownFlavor (400), NoPool (503)."""
        check_queue(project, name)
        return self._catalogue.create(project, name, meta.checked({} if metadata is None else metadata))

    def get(self, project: str, name: str) -> Queue:
        """Raises QueueNotFound (404).  (Zaqar shows the defaults for a queue that does not exist: `metadata.shown({})`.)"""
        check_queue(project, name)
        placement = self._catalogue.find(project, name, fresh=True)
        if placement is None:
            raise QueueNotFound(f"Queue {name} does not exist.")
        return Queue(name, placement.metadata)

    def patch(self, project: str, name: str, changes: Sequence[MetadataChange]) -> Queue:
        """A new `_flavor` moves the queue with its messages and claims before this returns.

        Raises InvalidRequest, UnknownFlavor (400), QueueNotFound (404), MetadataConflict,
        QueueCannotMove (409)."""
        check_queue(project, name)
        return Queue(name, self._catalogue.change_metadata(project, name, lambda old: meta.patched(old, changes)))

    def delete(self, project: str, name: str) -> None:
        """With all its messages; an unknown queue is fine."""
        check_queue(project, name)
        self._catalogue.delete(project, name)

    def list(
        self,
        project: str,
        marker: str | None = None,
        limit: int = 10,
        *,
        name: str | None = None,
        metadata: Mapping[str, Json] | None = None,
        with_count: bool = False,
    ) -> QueuePage:
        """In the order of their names.  `name`: part of the name; `metadata`: keys that must have these values."""
        wanted = dict(metadata or {})
        with self._database.read() as s:
            found = _matching(s, project, marker, limit, name, wanted)
            count = len(_matching(s, project, None, None, name, wanted)) if with_count else None
        return QueuePage(Page(found, found[-1].name if found else None), count)

    def stats(self, project: str, name: str) -> Stats:
        """Zeros for a queue that does not exist."""
        check_queue(project, name)
        return self._catalogue.run(project, name, lambda store, key: store.stats(key), EMPTY_STATS)

    def due(self, queues: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], float]:
        """In how many seconds a message can be claimed from each of these (project, queue); 0 when one can be now.  Those that hold no
        message, do not exist or cannot be asked now are left out."""
        return self._catalogue.due(queues)

    def purge(self, project: str, name: str) -> None:
        """Remove all messages; an unknown queue is fine."""
        check_queue(project, name)
        self._catalogue.run(project, name, lambda store, key: store.purge(key), None)


def _matching(
    s: Session, project: str, marker: str | None, limit: int | None, part: str | None, wanted: Mapping[str, Json]
) -> tuple[Queue, ...]:
    query = select(CatalogueRow.name, CatalogueRow.attributes).where(
        CatalogueRow.project == project, CatalogueRow.state.in_(OPEN)
    )
    if marker is not None:
        query = query.where(CatalogueRow.name > marker)
    if part:
        query = query.where(CatalogueRow.name.contains(part, autoescape=True))
    query = query.order_by(CatalogueRow.name)
    # Values of free-form metadata compare differently in each engine's JSON, so they are compared here.
    if limit is not None and not wanted:
        query = query.limit(limit)
    found: list[Queue] = []
    for name, attributes in s.execute(query):
        if all(attributes.get(key) == value for key, value in wanted.items()):
            found.append(Queue(name, attributes))
        if len(found) == limit:
            break
    return tuple(found)
