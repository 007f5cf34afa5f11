"""Pools: stores that queues are placed in, registered by the administrator."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from messaging.bindings import bindings, check_bindings
from messaging.drivers.registry import scheme_of
from messaging.errors import InvalidRequest, LastPoolOfFlavor, PoolHasQueues, PoolNotFound, StoreTaken
from messaging.names import WEIGHT, check_admin_name
from messaging.stores import URI_PURPOSE, Stores, probe
from messaging.values import Json, Page, Pool
from models import Database
from models.messaging import CatalogueRow, MessagingCounter, MessagingFlavorRow, PoolRow
from security.keyring import Keyring

FIELDS = ("uri", "weight", "flavor", "options")


class Pools:
    def __init__(self, database: Database, keyring: Keyring, stores: Stores) -> None:
        self._database = database
        self._keyring = keyring
        self._stores = stores

    def put(self, name: str, values: Mapping[str, Json]) -> Pool:
        """Register a pool, or replace what is known of it: `uri` and `weight` are required, `flavor` and `options` may be there.

        Raises InvalidRequest (also for what is unknown, `group` among it), UnsupportedUri, PoolUnreachable, MixedCapabilities (400);
        StoreTaken, PoolHasQueues (another store while queues are in this one), FlavorWouldBeEmpty (409)."""
        check_admin_name("pool", name)
        _check_known(values)
        if not {"uri", "weight"} <= set(values):
            raise InvalidRequest("A pool needs uri and weight.")
        return self._change(name, {"flavor": None, "options": {}, **_checked(values)}, create=True)

    def patch(self, name: str, values: Mapping[str, Json]) -> Pool:
        """Change some of `uri`, `weight`, `flavor`, `options`.  Raises PoolNotFound (404) and what `put` raises."""
        _check_known(values)
        if not values:
            raise InvalidRequest(f"One or more of {', '.join(FIELDS)} must be given.")
        return self._change(name, _checked(values), create=False)

    def get(self, name: str) -> Pool:
        """Raises PoolNotFound (404)."""
        with self._database.read() as s:
            return self._shown(_existing(s, name))

    def names(self) -> Sequence[str]:
        """Of all pools, without opening any URI."""
        return self._stores.names()

    def list(self, marker: str | None = None, limit: int = 10) -> Page[Pool]:
        query = select(PoolRow).order_by(PoolRow.name).limit(limit)
        if marker is not None:
            query = query.where(PoolRow.name > marker)
        with self._database.read() as s:
            found = tuple(self._shown(row) for row in s.scalars(query))
        return Page(found, found[-1].name if found else None)

    def delete(self, name: str) -> None:
        """An unknown pool is fine.  Raises LastPoolOfFlavor (403), PoolHasQueues (409)."""
        try:
            with self._database.write() as s:
                MessagingCounter.take(s)
                row = s.get(PoolRow, name)
                if row is None:
                    return
                _check_not_last(s, row)
                _check_no_queues(s, name)
                s.delete(row)
        except IntegrityError:
            # A queue was placed here between the look and the commit.
            raise PoolHasQueues(f"There are queues in pool {name}.") from None

    def delete_all(self, pools: Sequence[str], flavors: Sequence[str]) -> None:
        """Remove these pools and flavors, all or none; other pools of the flavors stay, without flavor.  Raises PoolHasQueues (409)."""
        try:
            with self._database.write() as s:
                MessagingCounter.take(s)
                for name in pools:
                    _check_no_queues(s, name)
                s.execute(delete(PoolRow).where(PoolRow.name.in_(pools)))
                s.execute(update(PoolRow).where(PoolRow.flavor.in_(flavors)).values(flavor=None))
                s.execute(delete(MessagingFlavorRow).where(MessagingFlavorRow.name.in_(flavors)))
        except IntegrityError:
            raise PoolHasQueues(f"A queue was placed in one of the pools {', '.join(pools)}.") from None

    def _change(self, name: str, values: Mapping[str, Json], *, create: bool) -> Pool:
        store_id = probe(values["uri"]) if "uri" in values else None
        with self._database.write() as s:
            generation = MessagingCounter.take(s)
            before = bindings(s)
            row = s.get(PoolRow, name) or self._new(s, name, create)
            if store_id is not None:
                self._set_uri(s, row, values["uri"], store_id, generation)
            for field in set(values) - {"uri"}:
                setattr(row, field, values[field])
            check_bindings(s, before)
            return self._shown(row)

    def _new(self, s: Session, name: str, create: bool) -> PoolRow:
        if not create:
            raise PoolNotFound(f"Pool {name} does not exist.")
        row = PoolRow(name=name)
        s.add(row)
        return row

    def _set_uri(self, s: Session, row: PoolRow, uri: str, store_id: str, generation: int) -> None:
        with s.no_autoflush:
            # By the plain text too: the digest of a URI that was registered under an older key is another one.
            for other in s.scalars(select(PoolRow).where(PoolRow.name != row.name)):
                if other.store_id == store_id or self._stores.uri(other) == uri:
                    raise StoreTaken("Another pool has this URI, or another URI of the same store.")
            if row.store_id not in (None, store_id):
                _check_no_queues(s, row.name)
            if row.store_id == store_id and self._stores.uri(row) == uri:
                return
        row.uri_sealed = self._stores.seal(row.name, uri)
        row.uri_digest = hmac.new(self._keyring.derive(f"{URI_PURPOSE}-digest"), uri.encode(), hashlib.sha256).hexdigest()
        row.store_id, row.scheme, row.generation = store_id, scheme_of(uri), generation

    def _shown(self, row: PoolRow) -> Pool:
        return Pool(row.name, self._stores.uri(row), row.weight, row.flavor, row.options)


def _existing(s: Session, name: str) -> PoolRow:
    row = s.get(PoolRow, name)
    if row is None:
        raise PoolNotFound(f"Pool {name} does not exist.")
    return row


def _check_not_last(s: Session, row: PoolRow) -> None:
    if row.flavor is None or s.get(MessagingFlavorRow, row.flavor) is None:
        return
    if s.scalar(select(func.count()).where(PoolRow.flavor == row.flavor)) == 1:
        raise LastPoolOfFlavor(f"Pool {row.name} is the last one of flavor {row.flavor}.")


def _check_no_queues(s: Session, name: str) -> None:
    placed = select(CatalogueRow.name).where(or_(CatalogueRow.pool == name, CatalogueRow.target == name)).limit(1)
    if s.scalar(placed) is not None:
        raise PoolHasQueues(f"There are queues in pool {name}.")


def _check_known(values: Mapping[str, Json]) -> None:
    if unknown := sorted(set(values) - set(FIELDS)):
        raise InvalidRequest(f"A pool has {', '.join(FIELDS)}; not {', '.join(unknown)}.")


def _checked(values: Mapping[str, Json]) -> dict[str, Json]:
    checked = dict(values)
    if "uri" in checked:
        uri = checked["uri"]
        if not isinstance(uri, str) or len(uri) > 255:
            raise InvalidRequest("uri must be a string of at most 255 characters.")
        scheme_of(uri)
    if "weight" in checked:
        WEIGHT.check(checked["weight"])
    if "options" in checked:
        checked["options"] = {} if checked["options"] is None else checked["options"]
        if not isinstance(checked["options"], dict):
            raise InvalidRequest("options must be an object.")
    if "flavor" in checked:
        checked["flavor"] = check_admin_name("flavor", checked["flavor"]) if checked["flavor"] not in (None, "") else None
    return checked
