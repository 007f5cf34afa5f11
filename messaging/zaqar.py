"""The management database of a Zaqar, as far as the importer reads it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module

from sqlalchemy import Connection, column, create_engine, func, inspect, make_url, select, table
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from messaging.drivers.registry import scheme_of
from messaging.errors import InvalidRequest
from messaging.values import Json

ZAQAR_DATABASE = "zaqar"
"""What Zaqar calls its database in MongoDB unless told otherwise."""


class NotZaqar(InvalidRequest):
    """The database cannot be read, or is not Zaqar's."""


@dataclass(frozen=True)
class OldPool:
    name: str
    uri: str = field(repr=False)
    weight: int
    options: Mapping[str, Json]
    group: str | None
    flavor: str | None


@dataclass(frozen=True)
class OldShape:
    """What Zaqar's database says.  `flavors`: name -> pool_group."""

    pools: Sequence[OldPool]
    flavors: Mapping[str, str | None]
    queues: int
    ambiguous: tuple[str, ...] = ()
    """Flavors of several projects that have one name and different groups."""


def read(url: str) -> OldShape:
    """Raises NotZaqar, UnsupportedUri (MongoDB without its extra)."""
    if url.startswith("mongodb"):
        scheme_of(url)
        return import_module("messaging.zaqar_mongodb").read(url)  # type: ignore[no-any-return]
    return _read_sql(url)


def _read_sql(url: str) -> OldShape:
    try:
        engine = create_engine(make_url(url), poolclass=NullPool)
        with engine.connect() as connection:
            columns = _columns(connection)
            pools = [_old_pool(row) for row in _rows(connection, "Pools", columns["Pools"])]
            flavors = {row["name"]: row.get("pool_group") or None for row in _rows(connection, "Flavors", columns["Flavors"])}
            queues = connection.scalar(select(func.count()).select_from(table("Catalogue"))) if "Catalogue" in columns else 0
    except ArgumentError:
        raise NotZaqar("The URL of the database is malformed.") from None
    except DBAPIError as e:
        raise NotZaqar(f"Zaqar's database cannot be read ({type(e.orig).__name__}).") from None
    return OldShape(pools, flavors, queues or 0)


def _columns(connection: Connection) -> dict[str, list[str]]:
    inspector = inspect(connection)
    there = {name.lower(): name for name in inspector.get_table_names()}
    if not {"pools", "flavors"} <= set(there):
        raise NotZaqar("There are no tables Pools and Flavors: this is not Zaqar's management database.")
    wanted = {"pools": "Pools", "flavors": "Flavors", "catalogue": "Catalogue"}
    return {name: [one["name"] for one in inspector.get_columns(there[key])] for key, name in wanted.items() if key in there}


def _rows(connection: Connection, name: str, columns: Sequence[str]) -> list[dict[str, Json]]:
    source = table(name, *(column(one) for one in columns))
    return [dict(row) for row in connection.execute(select(source).order_by(source.c.name)).mappings()]


def _old_pool(row: Mapping[str, Json]) -> OldPool:
    try:
        options = json.loads(row.get("options") or "{}") or {}
    except ValueError:
        raise NotZaqar(f"The options of pool {row['name']} are not JSON.") from None
    return OldPool(row["name"], row["uri"], row["weight"], options, row.get("group") or None, row.get("flavor") or None)


def in_database(uri: str, database: str) -> str:
    """The URI with the database that Zaqar's own configuration names beside it; who logs in does so where they did before."""
    address, _, options = uri.partition("?")
    scheme, _, rest = address.partition("://")
    hosts, _, login = rest.partition("/")
    if "@" in hosts and "authsource=" not in options.lower():
        options = "&".join(filter(None, (options, f"authSource={login or 'admin'}")))
    return f"{scheme}://{hosts}/{database}" + (f"?{options}" if options else "")
