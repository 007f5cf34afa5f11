"""From a pool's URI to its driver."""

import re
from importlib import import_module
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
}


def scheme_of(uri: str) -> str:
    """Raises UnsupportedUri."""
    match = re.match(r"([a-z][a-z0-9+.-]*):", uri)
    scheme = match[1] if match else ""
    if scheme in ("mongodb", "mongodb+srv"):
        raise UnsupportedUri("Pools in MongoDB need the extra coffer[mongodb], which this release does not have.")
    if scheme not in CAPABILITIES:
        raise UnsupportedUri(f"The URI of a pool begins with one of {', '.join(f'{known}:' for known in CAPABILITIES)}")
    return scheme


def capabilities_of(scheme: str) -> frozenset[Capability]:
    return CAPABILITIES[scheme]


def open_store(uri: str) -> Store:
    """Connects when first used.  Raises UnsupportedUri."""
    module = "redis.store" if scheme_of(uri).startswith("redis") else "sql.store"
    try:
        return cast("Store", import_module(f"messaging.drivers.{module}").open_store(uri))
    except (ArgumentError, ValueError):
        # The parser's own words may quote the URI with its password.
        raise UnsupportedUri("The URI of the pool is malformed.") from None
