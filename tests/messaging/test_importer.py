"""Taking over an existing Zaqar's pools and flavors, from SQLite, PostgreSQL and MariaDB."""

import json
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, Text, create_engine, insert
from sqlalchemy.pool import NullPool

from messaging.importer import Importer, NotZaqar
from messaging.service import Messaging
from tests.messaging.conftest import Urls

SQL = ["sqlite", pytest.param("postgresql", marks=pytest.mark.engines), pytest.param("mariadb", marks=pytest.mark.engines)]
Rows = list[dict[str, Any]]


def zaqar(url: str, pools: Rows, flavors: Rows, *, groups: bool = True, queues: int = 0) -> str:
    """A management database as Zaqar makes it."""
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


@pytest.mark.parametrize("kind", SQL)
def test_groups_become_flavors(messaging: Messaging, urls: Urls, kind: str) -> None:
    stores = {name: urls("sqlite") for name in "abcd"}
    pools: Rows = [
        {"name": "a", "uri": stores["a"], "weight": 10, "group": "g1", "options": json.dumps({"max_retry_sleep": 1})},
        {"name": "b", "uri": stores["b"], "weight": 20, "group": "g1"},
        {"name": "c", "uri": stores["c"], "weight": 30, "group": "nobody's"},
        {"name": "d", "uri": stores["d"], "weight": 40, "group": "g1", "flavor": "own"},
    ]
    flavors: Rows = [
        {"name": "fast", "pool_group": "g1", "capabilities": "[]"},
        {"name": "hollow", "pool_group": "g2", "capabilities": "[]"},
        {"name": "own", "pool_group": None, "capabilities": "[]"},
    ]
    source = zaqar(urls(kind), pools, flavors, queues=3)
    plan = Importer(messaging).plan(source)
    assert plan.ready
    assert (plan.pools_without_flavor, plan.flavors_without_pools, plan.kept, plan.queues) == (
        ("c",),
        ("hollow",),
        {"d": "own"},
        3,
    )
    assert messaging.pools.list().items == ()
    assert "note: pool c has no flavor: it will take queues without flavor" in list(plan.lines())
    assert not any(uri in line for line in plan.lines() for uri in stores.values())
    Importer(messaging).apply(plan)
    assert {p.name: (p.uri, p.weight, p.flavor) for p in messaging.pools.list().items} == {
        "a": (stores["a"], 10, "fast"),
        "b": (stores["b"], 20, "fast"),
        "c": (stores["c"], 30, None),
        "d": (stores["d"], 40, "own"),
    }
    assert messaging.pools.get("a").options == {"max_retry_sleep": 1}
    assert {f.name: f.pool_list for f in messaging.flavors.list().items} == {"fast": ("a", "b"), "hollow": (), "own": ("d",)}
    again = Importer(messaging).plan(source)
    assert again.ready
    assert (again.new_pools, dict(again.new_flavors)) == ((), {})
    assert len(again.known) == 7
    Importer(messaging).apply(again)


def test_an_import_that_was_cut_off_is_completed(messaging: Messaging, urls: Urls) -> None:
    pools = [{"name": name, "uri": urls("sqlite"), "weight": 1, "group": "g"} for name in "ab"]
    source = zaqar(urls("sqlite"), pools, [{"name": "fast", "pool_group": "g"}])
    messaging.pools.put("a", {"uri": pools[0]["uri"], "weight": 1, "flavor": "fast"})
    plan = Importer(messaging).plan(source)
    assert [p.name for p in plan.new_pools] == ["b"]
    Importer(messaging).apply(plan)
    assert messaging.flavors.get("fast").pool_list == ("a", "b")


def test_a_shared_group_stops_until_somebody_chooses(messaging: Messaging, urls: Urls) -> None:
    pools = [{"name": "a", "uri": urls("sqlite"), "weight": 1, "group": "g"}]
    flavors = [{"name": "one", "pool_group": "g"}, {"name": "two", "pool_group": "g"}]
    source = zaqar(urls("sqlite"), pools, flavors)
    plan = Importer(messaging).plan(source)
    assert not plan.ready
    assert plan.shared_groups == {"g": ("one", "two")}
    with pytest.raises(Exception, match="stop"):
        Importer(messaging).apply(plan)
    assert messaging.pools.list().items == ()
    decided = Importer(messaging).plan(source, flavor_of_group={"g": "two"})
    assert decided.ready
    assert decided.flavors_without_pools == ("one",)
    Importer(messaging).apply(decided)
    assert messaging.pools.get("a").flavor == "two"


def test_pools_that_cannot_be_taken_over_are_named(messaging: Messaging, urls: Urls) -> None:
    pools = [
        {"name": "mongo", "uri": "mongodb://u:hidden@127.0.0.1:27017", "weight": 1, "group": "g"},
        {"name": "away", "uri": "redis://:hidden@127.0.0.1:1/0", "weight": 1, "group": "h"},
        {"name": "taken", "uri": urls("sqlite"), "weight": 1},
    ]
    source = zaqar(urls("sqlite"), pools, [{"name": "f", "pool_group": "g"}])
    messaging.pools.put("taken", {"uri": urls("sqlite"), "weight": 1})
    plan = Importer(messaging).plan(source)
    assert not plan.ready
    assert set(plan.refused) == {"pool mongo", "pool away", "pool taken"}
    assert "hidden" not in "".join(plan.lines()) + repr(plan)
    moved = Importer(messaging).plan(
        source, uris={"mongo": urls("sqlite"), "away": urls("sqlite"), "taken": messaging.pools.get("taken").uri}
    )
    assert moved.ready
    Importer(messaging).apply(moved)
    assert messaging.flavors.get("f").pool_list == ("mongo",)


def test_the_shape_without_groups_is_read_too(messaging: Messaging, urls: Urls) -> None:
    pools = [{"name": "a", "uri": urls("sqlite"), "weight": 1, "flavor": "fast"}]
    source = zaqar(urls("sqlite"), pools, [{"name": "fast"}], groups=False)
    plan = Importer(messaging).plan(source)
    Importer(messaging).apply(plan)
    assert messaging.flavors.get("fast").pool_list == ("a",)


def test_what_is_not_zaqars(messaging: Messaging, urls: Urls) -> None:
    for url in (urls("sqlite"), "nonsense", "postgresql+psycopg://u:hidden@127.0.0.1:1/d"):
        with pytest.raises(NotZaqar) as refused:
            Importer(messaging).plan(url)
        assert "hidden" not in str(refused.value)
