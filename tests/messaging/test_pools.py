"""Pools and flavors: what the administrator may do, and that both sides of their bond agree."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from messaging.drivers import registry
from messaging.errors import (
    FlavorNotFound,
    FlavorWouldBeEmpty,
    InvalidRequest,
    LastPoolOfFlavor,
    MessagingError,
    MixedCapabilities,
    PoolHasQueues,
    PoolNotFound,
    PoolUnreachable,
    StoreTaken,
    UnknownPools,
    UnsupportedUri,
)
from messaging.service import Draft, Messaging
from models import Database, PoolRow
from security.keyring import Keyring
from tests.messaging.conftest import Urls

NewPool = Callable[..., str]


def test_put_makes_or_replaces(messaging: Messaging, urls: Urls) -> None:
    uri = urls("sqlite")
    messaging.pools.put("one", {"uri": uri, "weight": 1, "options": {"max_retry_sleep": 1}, "flavor": "later"})
    pool = messaging.pools.get("one")
    assert (pool.uri, pool.weight, pool.flavor, pool.options) == (uri, 1, "later", {"max_retry_sleep": 1})
    messaging.pools.put("one", {"uri": uri, "weight": 2})
    pool = messaging.pools.get("one")
    assert (pool.weight, pool.flavor, pool.options) == (2, None, {})


@pytest.mark.parametrize("nothing", ["", None])
def test_no_flavor_has_one_form(messaging: Messaging, new_pool: NewPool, nothing: str | None) -> None:
    new_pool("one", flavor=nothing)
    assert messaging.pools.get("one").flavor is None
    messaging.pools.patch("one", {"flavor": "some"})
    assert messaging.pools.patch("one", {"flavor": nothing}).flavor is None


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"weight": 1},
        {"uri": "sqlite:////tmp/x.db"},
        {"uri": 5, "weight": 1},
        {"uri": "sqlite:////tmp/x.db", "weight": -1},
        {"uri": "sqlite:////tmp/x.db", "weight": 2**32},
        {"uri": "sqlite:////tmp/x.db", "weight": "10"},
        {"uri": "sqlite:////tmp/x.db", "weight": True},
        {"uri": "sqlite:////tmp/x.db", "weight": 1, "options": []},
        {"uri": "sqlite:////tmp/x.db", "weight": 1, "flavor": 7},
        {"uri": "sqlite:////tmp/x.db", "weight": 1, "group": "g"},
        {"uri": "sqlite://", "weight": 1},
        {"uri": "sqlite:////tmp/" + "x" * 300, "weight": 1},
        {"uri": "oracle://h/d", "weight": 1},
        {"uri": "no uri", "weight": 1},
        {"uri": "postgresql://u:secret@h:port/d", "weight": 1},
        {"uri": "mongodb://u:secret@h:port/d", "weight": 1},
        {"uri": "mongodb://u:secret@h/d.e", "weight": 1},
        {"uri": "mongodb+srv://u:secret@h/d", "weight": 1},
    ],
)
def test_what_a_pool_cannot_be(messaging: Messaging, values: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        messaging.pools.put("one", values)
    assert "secret" not in str(refused.value)
    assert messaging.pools.list().items == ()


def test_without_its_extra_mongodb_names_it(messaging: Messaging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda _name: None)
    with pytest.raises(UnsupportedUri, match=r"coffer\[mongodb\]"):
        messaging.pools.put("one", {"uri": "mongodb://127.0.0.1:27017", "weight": 1})


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////nowhere/at/all.db",
        "redis://:hidden@127.0.0.1:1/0",
        "postgresql://u:hidden@127.0.0.1:1/d",
        "mysql+pymysql://u:hidden@127.0.0.1:1/d",
        "mongodb://u:hidden@127.0.0.1:1",
    ],
)
def test_an_unreachable_store_is_not_registered(messaging: Messaging, uri: str) -> None:
    with pytest.raises(PoolUnreachable) as refused:
        messaging.pools.put("one", {"uri": uri, "weight": 1})
    assert "hidden" not in str(refused.value)


def test_one_store_is_one_pool(messaging: Messaging, urls: Urls) -> None:
    uri = urls("sqlite")
    messaging.pools.put("one", {"uri": uri, "weight": 1})
    for same in (uri, uri.replace("sqlite:///", "sqlite:////"), f"{uri}?timeout=3"):
        with pytest.raises(StoreTaken):
            messaging.pools.put("two", {"uri": same, "weight": 1})
    messaging.pools.put("two", {"uri": urls("sqlite"), "weight": 1})
    with pytest.raises(StoreTaken):
        messaging.pools.patch("two", {"uri": uri})


def test_of_two_that_register_one_store_at_once_one_wins(messaging: Messaging, urls: Urls) -> None:
    uri, start = urls("sqlite"), threading.Barrier(4)

    def put(number: int) -> str:
        start.wait(10)
        try:
            messaging.pools.put(f"pool-{number}", {"uri": uri, "weight": 1})
        except StoreTaken:
            return "taken"
        return "won"

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(put, range(4))) == ["taken"] * 3 + ["won"]


def test_the_uri_is_sealed_at_rest(messaging: Messaging, database: Database, urls: Urls) -> None:
    uri = urls("sqlite")
    messaging.pools.put("one", {"uri": uri, "weight": 1})
    with database.read() as s:
        row = s.scalars(select(PoolRow)).one()
    assert uri.encode() not in row.uri_sealed
    assert all(uri not in str(value) for value in vars(row).values())
    assert uri not in repr(messaging.pools.get("one"))


def test_a_new_key_does_not_hide_duplicates(database: Database, keyring: Keyring, urls: Urls) -> None:
    uri = urls("sqlite")
    Messaging(database, keyring).pools.put("one", {"uri": uri, "weight": 1})
    rotated = Messaging(database, Keyring({"two": b"2" * 32, "one": b"1" * 32}))
    with pytest.raises(StoreTaken):
        rotated.pools.put("two", {"uri": uri, "weight": 1})
    assert rotated.pools.get("one").uri == uri


def test_what_is_unknown(messaging: Messaging) -> None:
    with pytest.raises(PoolNotFound):
        messaging.pools.get("one")
    with pytest.raises(PoolNotFound):
        messaging.pools.patch("one", {"weight": 1})
    with pytest.raises(FlavorNotFound):
        messaging.flavors.get("one")
    messaging.pools.delete("one")
    messaging.flavors.delete("one")


def test_patch_wants_something_known(messaging: Messaging, new_pool: NewPool) -> None:
    new_pool("one")
    for values in ({}, {"group": "g"}, {"weight": 1, "group": "g"}, {"weight": None}):
        with pytest.raises(InvalidRequest):
            messaging.pools.patch("one", values)


def test_pages(messaging: Messaging, new_pool: NewPool) -> None:
    for name in ("c", "a", "b"):
        new_pool(name)
    first = messaging.pools.list(limit=2)
    assert [p.name for p in first.items] == ["a", "b"]
    second = messaging.pools.list(first.marker, limit=2)
    assert [p.name for p in second.items] == ["c"]
    assert messaging.pools.list(second.marker, limit=2).items == ()
    for name in ("y", "x"):
        messaging.flavors.put(name, ["a" if name == "x" else "b"])
    assert [f.name for f in messaging.flavors.list(limit=1).items] == ["x"]
    assert [f.name for f in messaging.flavors.list("x").items] == ["y"]


def test_both_ways_of_binding_are_one(messaging: Messaging, new_pool: NewPool) -> None:
    new_pool("one", flavor="fast")
    new_pool("two")
    new_pool("three", flavor="other")
    messaging.flavors.put("fast", ["one", "two"])
    assert messaging.flavors.get("fast").pool_list == ("one", "two")
    assert messaging.pools.get("two").flavor == "fast"
    messaging.pools.patch("three", {"flavor": "fast"})
    assert messaging.flavors.get("fast").pool_list == ("one", "three", "two")
    messaging.flavors.patch("fast", ["three"])
    assert [messaging.pools.get(name).flavor for name in ("one", "two", "three")] == [None, None, "fast"]
    messaging.flavors.delete("fast")
    assert messaging.pools.get("three").flavor is None


@pytest.mark.parametrize("pool_list", [None, [], "one", ["one", 5], {"one": 1}])
def test_what_a_pool_list_cannot_be(messaging: Messaging, new_pool: NewPool, pool_list: object) -> None:
    new_pool("one")
    with pytest.raises(InvalidRequest):
        messaging.flavors.put("fast", pool_list)


def test_a_refused_pool_list_changes_nothing(messaging: Messaging, new_pool: NewPool) -> None:
    new_pool("one")
    messaging.flavors.put("fast", ["one"])
    with pytest.raises(UnknownPools):
        messaging.flavors.put("fast", ["absent"])
    with pytest.raises(UnknownPools):
        messaging.flavors.put("new", ["one", "absent"])
    assert messaging.flavors.get("fast").pool_list == ("one",)
    with pytest.raises(FlavorNotFound):
        messaging.flavors.get("new")


def test_no_path_empties_another_flavor(messaging: Messaging, new_pool: NewPool) -> None:
    new_pool("one")
    messaging.flavors.put("fast", ["one"])
    for steal in (
        lambda: messaging.flavors.put("slow", ["one"]),
        lambda: messaging.pools.patch("one", {"flavor": "slow"}),
        lambda: messaging.pools.patch("one", {"flavor": ""}),
        lambda: messaging.pools.put("one", {"uri": messaging.pools.get("one").uri, "weight": 1}),
    ):
        with pytest.raises(FlavorWouldBeEmpty):
            steal()
    assert messaging.flavors.get("fast").pool_list == ("one",)


def test_the_last_pool_of_a_flavor_stays(messaging: Messaging, new_pool: NewPool) -> None:
    new_pool("one")
    new_pool("two")
    new_pool("three", flavor="nobody made this flavor")
    messaging.flavors.put("fast", ["one", "two"])
    messaging.pools.delete("one")
    with pytest.raises(LastPoolOfFlavor):
        messaging.pools.delete("two")
    messaging.pools.delete("three")
    messaging.flavors.delete("fast")
    messaging.pools.delete("two")
    assert messaging.pools.list().items == ()


def test_a_pool_with_queues_stays(messaging: Messaging, new_pool: NewPool, urls: Urls) -> None:
    new_pool("one")
    messaging.queues.put("project", "queue")
    with pytest.raises(PoolHasQueues):
        messaging.pools.delete("one")
    with pytest.raises(PoolHasQueues):
        messaging.pools.patch("one", {"uri": urls("sqlite")})
    messaging.queues.delete("project", "queue")
    messaging.pools.patch("one", {"uri": urls("sqlite")})
    messaging.pools.delete("one")


def test_the_same_store_may_be_reached_by_another_uri(
    messaging: Messaging, database: Database, keyring: Keyring, urls: Urls
) -> None:
    uri = urls("sqlite")
    elsewhere = Messaging(database, keyring, cache_seconds=0)
    messaging.pools.put("one", {"uri": uri, "weight": 1})
    elsewhere.messages.post("project", "queue", [Draft("before")], "me")
    messaging.pools.patch("one", {"uri": f"{uri}?timeout=3"})
    before = elsewhere.stores.current("one")
    elsewhere.messages.post("project", "queue", [Draft("after")], "me")
    assert [m.body for m in elsewhere.messages.list("project", "queue").items] == ["before", "after"]
    messaging.pools.patch("one", {"uri": uri})
    assert elsewhere.stores.current("one") is not before
    elsewhere.close()


@pytest.mark.engines
def test_pools_of_a_flavor_give_the_same(messaging: Messaging, new_pool: NewPool, urls: Urls) -> None:
    new_pool("sql")
    new_pool("quick", "redis")
    new_pool("other", "sqlite")
    with pytest.raises(MixedCapabilities, match="DURABILITY"):
        messaging.flavors.put("mixed", ["sql", "quick"])
    messaging.flavors.put("fast", ["quick"])
    messaging.flavors.put("safe", ["sql", "other"])
    assert messaging.flavors.get("fast").capabilities == ("FIFO", "CLAIMS", "AOD", "HIGH_THROUGHPUT")
    assert messaging.flavors.get("safe").capabilities == ("FIFO", "CLAIMS", "DURABILITY", "AOD")
    for mix in (
        lambda: messaging.pools.patch("other", {"flavor": "fast"}),
        lambda: messaging.pools.patch("other", {"uri": urls("redis")}),
        lambda: messaging.pools.put("third", {"uri": urls("redis"), "weight": 1, "flavor": "safe"}),
        lambda: messaging.flavors.patch("safe", ["sql", "quick"]),
    ):
        with pytest.raises((MixedCapabilities, FlavorWouldBeEmpty)) as refused:
            mix()
        assert isinstance(refused.value, MessagingError)
    assert messaging.flavors.get("safe").pool_list == ("other", "sql")


def test_a_store_that_goes_away_is_an_answer(messaging: Messaging, tmp_path: Path) -> None:
    directory = tmp_path / "pool"
    directory.mkdir()
    messaging.pools.put("one", {"uri": f"sqlite:///{directory}/p.db", "weight": 1})
    assert messaging.health() == {"one": True}
    messaging.stores.close()
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    assert messaging.health() == {"one": False}
    with pytest.raises(MessagingError) as refused:
        messaging.messages.post("project", "queue", [Draft(1)], "me")
    assert refused.value.status == 503
