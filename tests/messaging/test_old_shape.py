"""Our own schema's way from pool groups to flavors: expand with backfill, contract, and back, on every SQL engine."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import column as sql_column
from sqlalchemy import create_engine, insert, inspect, select, table, text, update
from sqlalchemy.pool import NullPool

from migrations import runner
from tests.messaging.conftest import Urls

SQL = ["sqlite", pytest.param("postgresql", marks=pytest.mark.engines), pytest.param("mariadb", marks=pytest.mark.engines)]
GROUPS = table("messaging_pool_groups", sql_column("name"))
FLAVORS = table("messaging_flavors", sql_column("name"), sql_column("pool_group"))
_POOL_COLUMNS = (
    "name",
    "pool_group",
    "uri_sealed",
    "uri_digest",
    "store_id",
    "scheme",
    "weight",
    "options",
    "generation",
    "flavor",
)
POOLS = table("messaging_pools", *(sql_column(name) for name in _POOL_COLUMNS))


@pytest.fixture(params=SQL)
def url(request: pytest.FixtureRequest, urls: Urls) -> str:
    return urls(request.param)


def execute(url: str, *statements: Any) -> None:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def old_shape(url: str, pools: Mapping[str, str | None], flavors: Mapping[str, str]) -> None:
    """`pools`: name -> group; `flavors`: name -> group."""
    runner.upgrade(url, "0002")
    groups = sorted({group for group in (*pools.values(), *flavors.values()) if group is not None})
    known = {"uri_sealed": b"sealed", "scheme": "sqlite", "weight": 1, "options": "{}", "generation": 1}
    execute(
        url,
        *(insert(GROUPS).values(name=group) for group in groups),
        *(insert(FLAVORS).values(name=name, pool_group=group) for name, group in flavors.items()),
        *(
            insert(POOLS).values(name=name, pool_group=group, uri_digest=name, store_id=name, **known)
            for name, group in pools.items()
        ),
    )


def pairs(url: str, first: Any, second: Any) -> dict[str, str | None]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        return {name: value for name, value in connection.execute(select(first, second))}  # noqa: C416


def flavors_of_pools(url: str) -> dict[str, str | None]:
    return pairs(url, POOLS.c.name, POOLS.c.flavor)


def columns(url: str, name: str) -> Sequence[str]:
    return [one["name"] for one in inspect(create_engine(url, poolclass=NullPool)).get_columns(name)]


def test_pools_get_the_flavor_of_their_group(url: str) -> None:
    old_shape(url, {"a": "g", "b": "g", "c": "nobody's", "d": None}, {"fast": "g", "hollow": "empty"})
    runner.upgrade(url, "0003")
    assert flavors_of_pools(url) == {"a": "fast", "b": "fast", "c": None, "d": None}
    # Both ways hold at this step: a flavor needs no group any more.
    execute(
        url,
        insert(FLAVORS).values(name="new", pool_group=None),
        update(POOLS).where(POOLS.c.name == "d").values(flavor="new"),
    )
    runner.upgrade(url, "0004")
    assert flavors_of_pools(url) == {"a": "fast", "b": "fast", "c": None, "d": "new"}
    assert "pool_group" not in columns(url, "messaging_pools")
    assert "pool_group" not in columns(url, "messaging_flavors")


def test_back_before_the_drop_gives_what_was(url: str) -> None:
    pools = {"a": "g", "b": "g", "c": None}
    old_shape(url, pools, {"fast": "g"})
    runner.upgrade(url, "0003")
    runner.downgrade(url, "0002")
    assert pairs(url, POOLS.c.name, POOLS.c.pool_group) == pools
    assert pairs(url, FLAVORS.c.name, FLAVORS.c.pool_group) == {"fast": "g"}
    runner.upgrade(url, "0003")
    assert flavors_of_pools(url) == {"a": "fast", "b": "fast", "c": None}


def test_what_was_bound_the_new_way_keeps_its_bond_on_the_way_back(url: str) -> None:
    old_shape(url, {"a": "g", "b": None}, {"fast": "g"})
    runner.upgrade(url, "0003")
    execute(url, insert(FLAVORS).values(name="g", pool_group=None), update(POOLS).where(POOLS.c.name == "b").values(flavor="g"))
    runner.downgrade(url, "0002")
    groups, flavors = pairs(url, POOLS.c.name, POOLS.c.pool_group), pairs(url, FLAVORS.c.name, FLAVORS.c.pool_group)
    assert groups["a"] == flavors["fast"] == "g"
    assert groups["b"] == flavors["g"] != "g"
    runner.upgrade(url, "0004")
    assert flavors_of_pools(url) == {"a": "fast", "b": "g"}


def test_back_after_the_drop_makes_a_group_for_each_flavor(url: str) -> None:
    old_shape(url, {"a": "g", "b": None}, {"fast": "g"})
    runner.upgrade(url, "0004")
    runner.downgrade(url, "0003")
    runner.downgrade(url, "0002")
    assert pairs(url, POOLS.c.name, POOLS.c.pool_group) == {"a": "fast", "b": None}
    assert pairs(url, FLAVORS.c.name, FLAVORS.c.pool_group) == {"fast": "fast"}
    runner.upgrade(url)
    assert flavors_of_pools(url) == {"a": "fast", "b": None}


def test_a_shared_group_is_named_before_anything_changes(url: str) -> None:
    old_shape(url, {"a": "g"}, {"one": "g", "two": "g", "three": "h"})
    with pytest.raises(RuntimeError, match="g: one, two"):
        runner.upgrade(url)
    assert runner.current(url) == "0002"
    assert "flavor" not in columns(url, "messaging_pools")
    execute(url, update(FLAVORS).where(FLAVORS.c.name == "two").values(pool_group="i"))
    runner.upgrade(url)
    assert flavors_of_pools(url) == {"a": "one"}


def test_the_drop_waits_for_the_last_pool(url: str) -> None:
    old_shape(url, {"a": "g", "b": "g"}, {"fast": "g"})
    runner.upgrade(url, "0003")
    execute(url, update(POOLS).where(POOLS.c.name == "b").values(flavor=None))
    with pytest.raises(RuntimeError, match="first: b"):
        runner.upgrade(url, "0004")
    assert runner.current(url) == "0003"
    assert "pool_group" in columns(url, "messaging_pools")
    execute(url, text("UPDATE messaging_pools SET flavor = 'fast' WHERE name = 'b'"))
    runner.upgrade(url, "0004")
