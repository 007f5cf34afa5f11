"""A management database as Zaqar makes it, with pool groups or without."""

from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, Text, create_engine, insert
from sqlalchemy.pool import NullPool

SQL = ["sqlite", pytest.param("postgresql", marks=pytest.mark.engines), pytest.param("mariadb", marks=pytest.mark.engines)]
Rows = list[dict[str, Any]]


def zaqar(url: str, pools: Rows, flavors: Rows, *, groups: bool = True, queues: int = 0) -> str:
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
