"""A management database as Zaqar makes it, with pool groups or without."""

import json
from typing import Any

import pymongo
import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, Text, create_engine, insert
from sqlalchemy.pool import NullPool

from tests.support.mongodbserver import available

SQL = ["sqlite", pytest.param("postgresql", marks=pytest.mark.engines), pytest.param("mariadb", marks=pytest.mark.engines)]
SOURCES = [*SQL, *([pytest.param("mongodb", marks=pytest.mark.engines)] if available() else [])]
Rows = list[dict[str, Any]]


def zaqar(url: str, pools: Rows, flavors: Rows, *, groups: bool = True, queues: int = 0) -> str:
    if url.startswith("mongodb"):
        return _in_mongodb(url, pools, flavors, groups=groups, queues=queues)
    metadata = MetaData()
    Table("PoolGroup", metadata, Column("name", String(64), primary_key=True))
    more = [Column("group", String(64))] if groups else []
    pool_table = Table(
        "Pools",
        metadata,
        Column("name", String(64), primary_key=True),
        *more,
        Column("uri", String(255), unique=True, nullable=False),
        Column("weight", Integer, nullable=False),
        Column("options", Text),
        Column("flavor", String(64)),
    )
    more = [Column("pool_group", String(64))] if groups else []
    flavor_table = Table(
        "Flavors",
        metadata,
        Column("name", String(64), primary_key=True),
        Column("project", String(64)),
        *more,
        Column("capabilities", Text),
    )
    catalogue = Table(
        "Catalogue", metadata, Column("pool", String(64)), Column("project", String(64)), Column("queue", String(64))
    )
    engine = create_engine(url, poolclass=NullPool)
    metadata.create_all(engine)
    with engine.begin() as connection:
        for rows, into in ((pools, pool_table), (flavors, flavor_table)):
            for row in rows:
                connection.execute(insert(into).values(row))
        for n in range(queues):
            connection.execute(insert(catalogue).values(pool="a", project="p", queue=f"q{n}"))
    return url


def _in_mongodb(url: str, pools: Rows, flavors: Rows, *, groups: bool, queues: int) -> str:
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        database = client.get_default_database()
        for pool in pools:
            document = {"n": pool["name"], "u": pool["uri"], "w": pool["weight"], "o": json.loads(pool.get("options") or "{}")}
            more = {"g": pool.get("group")} if groups else {}
            database["pools"].insert_one({**document, **more, "f": pool.get("flavor")})
        for flavor in flavors:
            more = {"s": flavor.get("pool_group")} if groups else {}
            database["flavors"].insert_one({"n": flavor["name"], "p": flavor.get("project"), "c": {}, **more})
        for n in range(queues):
            database["catalogue"].insert_one({"p": "a", "p_q": f"p/q{n}"})
    return url
