"""Where queues are: placing, finding, moving and removing them, and running calls at the right store.

A call goes to the place that this process knows.  The store refuses it (`Fenced`) when the queue is no longer there; then the row is read
again, what somebody left half done is finished (every step can be repeated by anybody), and the call is made once more.  So a place may be
known for long; what no store would refuse, a queue's metadata, may not.
"""

import threading
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import Delete, Update, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from messaging import metadata as meta
from messaging.drivers.base import Fenced, QueueKey, Store
from messaging.errors import NoPool, QueueCannotMove, QueueMoving, QueueNotFound, StoreUnavailable
from messaging.moving import carry_over
from messaging.placement import choose_pool, fits
from messaging.stores import Stores
from messaging.values import Json
from models import Database
from models.base import rows_changed
from models.messaging import CatalogueRow, MessagingCounter, PoolRow

IN_PLACE, MOVING, DELETING = "open", "moving", "deleting"
OPEN = (IN_PLACE, MOVING)
ATTEMPTS = 5
TURNS, PATIENT_TURNS, TURN_SECONDS = 60, 6, 0.05
MOST_CACHED = 200_000
PLACE_SECONDS = 3600.0
DUE_SECONDS = 60.0
"""No store refuses a question for what is due; whoever waits for a queue that has moved looks for itself after as long at most."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Placement:
    key: QueueKey
    pool: str
    pool_generation: int
    state: str
    target: str | None
    target_generation: int | None
    metadata: Mapping[str, Json]
    version: int


class Catalogue:
    """`cache_seconds`: for so long the metadata that was read is what it is; `constant`: projects whose queues' metadata nobody changes."""

    def __init__(self, database: Database, stores: Stores, cache_seconds: float, constant: Collection[str] = ()) -> None:
        self._database = database
        self._stores = stores
        self._cache_seconds = cache_seconds
        self._constant = frozenset(constant)
        self._cache: OrderedDict[tuple[str, str], tuple[float, Placement]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, project: str, name: str, *, fresh: bool = False, movers: bool = False, whole: bool = True) -> Placement | None:
        """The queue's place; None when there is no such queue.  Without `whole` its metadata may be old.  A move under way is left to the
        one who began it (`movers`) for a while, and finished here then.  Raises QueueMoving."""
        lasts = self._cache_seconds if whole and project not in self._constant else PLACE_SECONDS
        if not fresh and (cached := self._cached(project, name, lasts)):
            return cached
        for turn in range(TURNS):
            with self._database.read() as s:
                placement = _read(s, project, name)
            if placement is None or placement.state == IN_PLACE:
                self._remember(project, name, placement)
                return placement
            ours = movers or turn >= PATIENT_TURNS or placement.state == DELETING
            if not ours or not self._finish(placement):
                time.sleep(TURN_SECONDS)
        raise QueueMoving(f"Queue {name} is being moved; try again.")

    def create(self, project: str, name: str, metadata: Mapping[str, Json]) -> bool:
        """Place a queue; False when it is there already.  Raises UnknownFlavor, NoPool."""
        if self.find(project, name, fresh=True) is not None:
            return False
        try:
            with self._database.write() as s:
                pool = choose_pool(s, meta.flavor_of(metadata))
                generation = MessagingCounter.take(s, "placement")
                s.add(
                    CatalogueRow(
                        project=project, name=name, pool=pool, generation=generation, state=IN_PLACE, attributes=dict(metadata)
                    )
                )
        except IntegrityError:
            # Somebody made the queue, or removed the pool, at the same time.
            return self.find(project, name, fresh=True) is None and self.create(project, name, metadata)
        placement = self.find(project, name, fresh=True)
        if placement is not None:
            self._open(placement)
        return True

    def find_or_create(self, project: str, name: str, metadata: Mapping[str, Json] | None = None) -> Placement:
        for _ in range(ATTEMPTS):
            placement = self.find(project, name)
            if placement is not None:
                return placement
            self.create(project, name, metadata or {})
        raise QueueMoving(f"Queue {name} is being made and deleted; try again.")

    def due(self, queues: Collection[tuple[str, str]]) -> dict[tuple[str, str], float]:
        """In how many seconds a message can be claimed from those of the queues (project, name) that hold any; 0 for now.  Pools that are
        away are left out."""
        pools: defaultdict[tuple[str, int], list[QueueKey]] = defaultdict(list)
        for placement in self._placed(queues):
            pools[placement.pool, placement.pool_generation].append(placement.key)
        found: dict[QueueKey, float] = {}
        for (pool, generation), keys in pools.items():
            with suppress(StoreUnavailable, NoPool):
                found |= self._store(pool, generation).due(keys)
        return {(key.project, key.name): seconds for key, seconds in found.items()}

    def run(self, project: str, name: str, call: Callable[[Store, QueueKey], T], missing: T) -> T:
        """The call at the queue's store, or `missing` when there is no such queue."""
        for attempt in range(ATTEMPTS):
            placement = self.find(project, name, fresh=attempt > 0, whole=False)
            if placement is None:
                return missing
            try:
                return call(self._store(placement.pool, placement.pool_generation), placement.key)
            except Fenced:
                now = self.find(project, name, fresh=True)
                if now is not None and now.key == placement.key:
                    self._open(now)
            except (StoreUnavailable, NoPool):
                # It may have left that store long ago.
                self._remember(project, name, None)
                raise
        raise QueueMoving(f"Queue {name} is being moved; try again.")

    def run_or_create(
        self, project: str, name: str, call: Callable[[Store, QueueKey], Sequence[T]], metadata: Mapping[str, Json] | None = None
    ) -> Sequence[T]:
        """The call at the queue's store; the queue is made when it is missing.  `call` must give something."""
        nothing: Sequence[T] = ()
        for _ in range(ATTEMPTS):
            self.find_or_create(project, name, metadata)
            done = self.run(project, name, call, nothing)
            if done:
                return done
        raise QueueMoving(f"Queue {name} is being made and deleted; try again.")

    def change_metadata(
        self, project: str, name: str, change: Callable[[Mapping[str, Json]], dict[str, Json]]
    ) -> Mapping[str, Json]:
        """Raises QueueNotFound, UnknownFlavor, QueueCannotMove and what `change` raises."""
        for _ in range(ATTEMPTS):
            placement = self.find(project, name, fresh=True)
            if placement is None:
                raise QueueNotFound(f"Queue {name} does not exist.")
            metadata = change(placement.metadata)
            if self._set_metadata(placement, metadata):
                # A new flavor means a move: here and now.
                self.find(project, name, fresh=True, movers=True)
                return metadata
        raise QueueMoving(f"The metadata of queue {name} is being changed; try again.")

    def delete(self, project: str, name: str) -> None:
        for _ in range(ATTEMPTS):
            placement = self.find(project, name, fresh=True)
            if placement is None:
                return
            with self._database.write() as s:
                mine = _as_seen(placement, update(CatalogueRow)).where(CatalogueRow.state == IN_PLACE)
                began = rows_changed(s, mine.values(state=DELETING))
            if began:
                self._remember(project, name, None)
                self._finish_deletion(placement)
                return
        raise QueueMoving(f"Queue {name} is being moved; try again.")

    def _placed(self, queues: Collection[tuple[str, str]]) -> list[Placement]:
        """Where those of the queues are that exist and are not being moved."""
        known = {queue: self._cached(*queue, DUE_SECONDS) for queue in queues}
        placed = [placement for placement in known.values() if placement]
        if len(placed) == len(known):
            return placed
        by_project: defaultdict[str, list[str]] = defaultdict(list)
        for (project, name), placement in known.items():
            if placement is None:
                by_project[project].append(name)
        with self._database.read() as s:
            for project, names in by_project.items():
                placed += _read_all(s, project, names)
        return placed

    def _set_metadata(self, placement: Placement, metadata: Mapping[str, Json]) -> bool:
        """False when something came in between."""
        changed: dict[str, Any] = {"attributes": dict(metadata), "version": CatalogueRow.version + 1}
        flavor = meta.flavor_of(metadata)
        target = self._new_home(placement, flavor)
        with self._database.write() as s:
            if target is not None:
                if not fits(s, target, flavor):
                    return False
                generation = MessagingCounter.take(s, "placement")
                changed |= {"state": MOVING, "target": target, "target_generation": generation}
            mine = _as_seen(placement, update(CatalogueRow)).where(
                CatalogueRow.version == placement.version, CatalogueRow.state == IN_PLACE
            )
            return bool(rows_changed(s, mine.values(changed)))

    def _new_home(self, placement: Placement, flavor: str | None) -> str | None:
        """The pool that the queue has to move to under this flavor; None when it can stay."""
        if flavor == meta.flavor_of(placement.metadata):
            return None
        with self._database.write() as s:
            if fits(s, placement.pool, flavor):
                return None
            try:
                target = choose_pool(s, flavor)
            except NoPool as e:
                raise QueueCannotMove(str(e)) from None
        # Once it has set out the queue can only go forward, so not while its new store is away.
        self._stores.current(target).identity()
        return target

    def _finish(self, placement: Placement) -> bool:
        """False when somebody else is at it."""
        if placement.state == DELETING:
            self._finish_deletion(placement)
            return True
        return self._finish_move(placement)

    def _finish_deletion(self, placement: Placement) -> None:
        self._store(placement.pool, placement.pool_generation).drop_queue(placement.key)
        with self._database.write() as s:
            s.execute(_as_seen(placement, delete(CatalogueRow)).where(CatalogueRow.state == DELETING))

    def _finish_move(self, placement: Placement) -> bool:
        target, generation = placement.target, placement.target_generation
        assert target is not None
        assert generation is not None
        new = replace(placement.key, generation=generation)
        try:
            carry_over(self._store(placement.pool, placement.pool_generation), placement.key, self._stores.current(target), new)
        except Fenced:
            # Somebody else carries it over; the row will tell.
            return False
        there = {"pool": target, "generation": generation, "state": IN_PLACE, "target": None, "target_generation": None}
        with self._database.write() as s:
            s.execute(_as_seen(placement, update(CatalogueRow)).where(CatalogueRow.state == MOVING).values(there))
        return True

    def _open(self, placement: Placement) -> None:
        """Make the record in the store, which whoever placed the queue has not come to (yet).  What was known of the queue before is
        not used any more: it may have moved on while this was under way."""
        with suppress(Fenced):
            self._store(placement.pool, placement.pool_generation).open_queue(placement.key)
        self._remember(placement.key.project, placement.key.name, None)

    def _store(self, pool: str, generation: int) -> Store:
        return self._stores.of(pool, generation)

    def _cached(self, project: str, name: str, lasts: float) -> Placement | None:
        with self._lock:
            found = self._cache.get((project, name))
        if found is None:
            return None
        read, placement = found
        return placement if time.monotonic() < read + lasts else None

    def _remember(self, project: str, name: str, placement: Placement | None) -> None:
        with self._lock:
            self._cache.pop((project, name), None)
            if placement is not None:
                self._cache[project, name] = (time.monotonic(), placement)
            if len(self._cache) > MOST_CACHED:
                self._cache.popitem(last=False)


def _read(s: Session, project: str, name: str) -> Placement | None:
    return next(iter(_read_all(s, project, [name])), None)


def _read_all(s: Session, project: str, names: Sequence[str]) -> list[Placement]:
    query = select(
        CatalogueRow.name,
        CatalogueRow.pool,
        PoolRow.generation.label("pool_generation"),
        CatalogueRow.state,
        CatalogueRow.target,
        CatalogueRow.target_generation,
        CatalogueRow.attributes.label("metadata"),
        CatalogueRow.version,
        CatalogueRow.generation,
    ).join(PoolRow, PoolRow.name == CatalogueRow.pool)
    found = []
    for row in s.execute(query.where(CatalogueRow.project == project, CatalogueRow.name.in_(names))):
        fields = dict(row._mapping)
        found.append(Placement(key=QueueKey(project, fields.pop("name"), fields.pop("generation")), **fields))
    return found


S = TypeVar("S", Update, Delete)


def _as_seen(placement: Placement, statement: S) -> S:
    key = placement.key
    return statement.where(
        CatalogueRow.project == key.project, CatalogueRow.name == key.name, CatalogueRow.generation == key.generation
    )
