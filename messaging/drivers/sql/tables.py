"""The tables of a pool in an SQL database, and its clock.  Moments and spans are in milliseconds."""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text, UniqueConstraint
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

SETTINGS: Any = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
# SQLite numbers rows by itself only in a column whose type is INTEGER to the letter.
NUMBER = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData()

store = Table(
    "coffer_store",
    metadata,
    Column("only", Integer, primary_key=True, autoincrement=False),
    Column("identity", String(64), nullable=False),
    **SETTINGS,
)
queues = Table(
    "coffer_queues",
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("project", String(256), nullable=False),
    Column("name", String(64), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    UniqueConstraint("project", "name", name="uq_coffer_queues_project"),
    **SETTINGS,
)
# `available`: when the message may be claimed (again): the end of its delay or of its claim.
messages = Table(
    "coffer_messages",
    metadata,
    Column("queue_id", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("nonce", String(8), nullable=False),
    Column("client", String(64), nullable=False),
    Column("body", Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb"), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("available", BigInteger, nullable=False),
    Column("claim_id", String(64)),
    Column("claim_ttl", Integer, nullable=False),
    Column("claimed_at", BigInteger, nullable=False),
    Column("claim_count", Integer, nullable=False),
    Index("ix_coffer_messages_claim", "queue_id", "claim_id"),
    Index("ix_coffer_messages_expires", "expires"),
    **SETTINGS,
)


class now_ms(FunctionElement[int]):
    """The server's clock, the same all over one statement."""

    name = "now_ms"
    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "sqlite")
def _sqlite(_element: now_ms, _compiler: Any, **_kw: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(now_ms, "postgresql")
def _postgresql(_element: now_ms, _compiler: Any, **_kw: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)"


@compiles(now_ms, "mysql", "mariadb")
def _mysql(_element: now_ms, _compiler: Any, **_kw: Any) -> str:
    return "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"
