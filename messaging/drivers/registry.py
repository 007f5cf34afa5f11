"""From a pool's URI to its driver."""

import re
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from sqlalchemy.exc import ArgumentError

from messaging.drivers.base import Store
from messaging.errors import UnsupportedUri
from messaging.values import Capability

_EVERYWHERE = frozenset({Capability.FIFO, Capability.CLAIMS, Capability.AOD})
_SQL = _EVERYWHERE | {Capability.DURABILITY}
_REDIS = _EVERYWHERE | {Capability.HIGH_THROUGHPUT}

CAPABILITIES = {
    "sqlite": _SQL,
    "postgresql": _SQL,
    "postgresql+psycopg": _SQL,
    "mysql+pymysql": _SQL,
    "redis": _REDIS,
    "rediss": _REDIS,
    "mongodb": _SQL,
}
_DRIVERS = {"redis": "redis.store", "rediss": "redis.store", "mongodb": "mongodb.store"}


def scheme_of(uri: str) -> str:
    """Raises UnsupportedUri."""
    match = re.match(r"([a-z][a-z0-9+.-]*):", uri)
    scheme = match[1] if match else ""
    if scheme == "mongodb" and find_spec("pymongo") is None:
        raise UnsupportedUri("MongoDB needs the extra coffer[mongodb], which is not installed here.")
    if scheme == "mongodb+srv":
        raise UnsupportedUri("Name the members of the MongoDB in a mongodb: URI.")
    if scheme not in CAPABILITIES:
        raise UnsupportedUri(f"The URI of a pool begins with one of {', '.join(f'{known}:' for known in CAPABILITIES)}")
    return scheme


def capabilities_of(scheme: str) -> frozenset[Capability]:
    return CAPABILITIES[scheme]


def open_store(uri: str) -> Store:
    """Connects when first used.  Raises UnsupportedUri."""
    module = _DRIVERS.get(scheme_of(uri), "sql.store")
    try:
        return cast("Store", import_module(f"messaging.drivers.{module}").open_store(uri))
    except (ArgumentError, ValueError):
        # The parser's own words may quote the URI with its password.
        raise UnsupportedUri("The URI of the pool is malformed.") from None
