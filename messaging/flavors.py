"""Flavors: names for sets of pools, global, made by the administrator and usable by every project."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from messaging.bindings import Bindings, bindings, check_bindings, common
from messaging.errors import FlavorNotFound, InvalidRequest, UnknownPools
from messaging.names import check_admin_name
from messaging.values import Flavor, Json, Page
from models import Database
from models.messaging import MessagingCounter, MessagingFlavorRow, PoolRow


class Flavors:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, name: str, pool_list: Json) -> Flavor:
        """Make a flavor of these pools, or give it these instead of those it has; a pool leaves the flavor it had.

        Raises InvalidRequest, UnknownPools, MixedCapabilities (400), FlavorWouldBeEmpty (409: another flavor)."""
        check_admin_name("flavor", name)
        return self._bind(name, _checked(pool_list), create=True)

    def patch(self, name: str, pool_list: Json) -> Flavor:
        """Give the flavor these pools.  Raises FlavorNotFound (404) and what `put` raises."""
        return self._bind(name, _checked(pool_list), create=False)

    def put_empty(self, name: str) -> None:
        """Make a flavor that has no pools yet beyond those that name it already; one that exists is fine.  Raises InvalidRequest."""
        check_admin_name("flavor", name)
        with self._database.write() as s:
            MessagingCounter.take(s)
            if s.get(MessagingFlavorRow, name) is None:
                s.add(MessagingFlavorRow(name=name))

    def get(self, name: str) -> Flavor:
        """Raises FlavorNotFound (404)."""
        with self._database.read() as s:
            if s.get(MessagingFlavorRow, name) is None:
                raise FlavorNotFound(f"Flavor {name} does not exist.")
            return _shown(name, bindings(s))

    def list(self, marker: str | None = None, limit: int = 10) -> Page[Flavor]:
        query = select(MessagingFlavorRow.name).order_by(MessagingFlavorRow.name).limit(limit)
        if marker is not None:
            query = query.where(MessagingFlavorRow.name > marker)
        with self._database.read() as s:
            bound = bindings(s)
            found = tuple(_shown(name, bound) for name in s.scalars(query))
        return Page(found, found[-1].name if found else None)

    def delete(self, name: str) -> None:
        """Its pools stay, without flavor; so do the queues in them.  An unknown flavor is fine."""
        with self._database.write() as s:
            MessagingCounter.take(s)
            row = s.get(MessagingFlavorRow, name)
            if row is None:
                return
            s.delete(row)
            for pool in s.scalars(select(PoolRow).where(PoolRow.flavor == name)):
                pool.flavor = None

    def _bind(self, name: str, pool_list: tuple[str, ...], *, create: bool) -> Flavor:
        with self._database.write() as s:
            MessagingCounter.take(s)
            if s.get(MessagingFlavorRow, name) is None:
                if not create:
                    raise FlavorNotFound(f"Flavor {name} does not exist.")
                s.add(MessagingFlavorRow(name=name))
            before = bindings(s)
            _move_pools(s, name, pool_list)
            check_bindings(s, before)
            return _shown(name, bindings(s))


def _move_pools(s: Session, flavor: str, pool_list: tuple[str, ...]) -> None:
    pools = {row.name: row for row in s.scalars(select(PoolRow))}
    missing = [pool for pool in pool_list if pool not in pools]
    if missing:
        raise UnknownPools(f"There is no pool {', '.join(missing)}.")
    for row in pools.values():
        if row.name in pool_list:
            row.flavor = flavor
        elif row.flavor == flavor:
            row.flavor = None


def _shown(name: str, bound: Bindings) -> Flavor:
    pools = bound.get(name, {})
    return Flavor(name, tuple(sorted(pools)), common(pools))


def _checked(pool_list: Json) -> tuple[str, ...]:
    if not isinstance(pool_list, list) or not pool_list or not all(isinstance(pool, str) for pool in pool_list):
        raise InvalidRequest("pool_list must be a non-empty array of names of pools.")
    return tuple(dict.fromkeys(pool_list))
