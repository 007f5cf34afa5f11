"""Taking over an existing Zaqar's pools and flavors, from SQLite, PostgreSQL, MariaDB and MongoDB."""

import json

import pytest

from messaging.drivers import registry
from messaging.errors import PoolHasQueues, UnsupportedUri
from messaging.importer import Importer
from messaging.service import Messaging
from messaging.zaqar import NotZaqar, in_database
from tests.messaging.conftest import Urls
from tests.messaging.zaqar import SOURCES, SQL, Rows, zaqar


@pytest.mark.parametrize("kind", SOURCES)
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
    assert ("note", "pool", "c", "has no flavor: it will take queues without flavor") in list(plan.findings())
    assert not any(uri in finding.detail for finding in plan.findings() for uri in stores.values())
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
    assert (again.known_pools, again.known_flavors) == (("a", "b", "c", "d"), ("fast", "hollow", "own"))
    Importer(messaging).apply(again)
    Importer(messaging).undo(again)
    assert messaging.pools.list().items == messaging.flavors.list().items == ()


def test_an_import_is_not_undone_under_queues(messaging: Messaging, urls: Urls) -> None:
    pools = [{"name": name, "uri": urls("sqlite"), "weight": 1, "group": "g"} for name in "ab"]
    source = zaqar(urls("sqlite"), pools, [{"name": "fast", "pool_group": "g"}])
    Importer(messaging).apply(Importer(messaging).plan(source))
    messaging.queues.put("p", "q", {"_flavor": "fast"})
    with pytest.raises(PoolHasQueues):
        Importer(messaging).undo(Importer(messaging).plan(source))
    assert messaging.flavors.get("fast").pool_list == ("a", "b")
    messaging.queues.delete("p", "q")
    messaging.pools.put("a", {"uri": pools[0]["uri"], "weight": 7, "flavor": "fast"})
    changed = Importer(messaging).plan(source)
    Importer(messaging).undo(changed)
    assert [(pool.name, pool.flavor) for pool in messaging.pools.list().items] == [("a", None)]


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
        {"name": "mongo", "uri": "mongodb://u:hidden@127.0.0.1:1", "weight": 1, "group": "g"},
        {"name": "away", "uri": "redis://:hidden@127.0.0.1:1/0", "weight": 1, "group": "h"},
        {"name": "taken", "uri": urls("sqlite"), "weight": 1},
    ]
    source = zaqar(urls("sqlite"), pools, [{"name": "f", "pool_group": "g"}])
    messaging.pools.put("taken", {"uri": urls("sqlite"), "weight": 1})
    plan = Importer(messaging).plan(source)
    assert not plan.ready
    assert set(plan.refused) == {"pool mongo", "pool away", "pool taken"}
    assert "hidden" not in repr(list(plan.findings())) + repr(plan)
    moved = Importer(messaging).plan(
        source, uris={"mongo": urls("sqlite"), "away": urls("sqlite"), "taken": messaging.pools.get("taken").uri}
    )
    assert moved.ready
    Importer(messaging).apply(moved)
    assert messaging.flavors.get("f").pool_list == ("mongo",)


@pytest.mark.parametrize("kind", SOURCES)
def test_the_shape_without_groups_is_read_too(messaging: Messaging, urls: Urls, kind: str) -> None:
    pools = [{"name": "a", "uri": urls("sqlite"), "weight": 1, "flavor": "fast"}]
    source = zaqar(urls(kind), pools, [{"name": "fast"}], groups=False)
    plan = Importer(messaging).plan(source)
    Importer(messaging).apply(plan)
    assert messaging.flavors.get("fast").pool_list == ("a",)


def test_what_is_not_zaqars(messaging: Messaging, urls: Urls) -> None:
    for url in (urls("sqlite"), "nonsense", "postgresql+psycopg://u:hidden@127.0.0.1:1/d", "mongodb://u:hidden@127.0.0.1:1/d"):
        with pytest.raises(NotZaqar) as refused:
            Importer(messaging).plan(url)
        assert "hidden" not in str(refused.value)


def test_mongodb_without_its_extra(messaging: Messaging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda _name: None)
    with pytest.raises(UnsupportedUri, match=r"coffer\[mongodb\]"):
        Importer(messaging).plan("mongodb://127.0.0.1/zaqar")


@pytest.mark.engines
@pytest.mark.parametrize("kind", [source for source in SOURCES if source not in SQL])
def test_flavors_of_one_name_in_several_projects(messaging: Messaging, urls: Urls, kind: str) -> None:
    pools = [{"name": "a", "uri": urls("sqlite"), "weight": 1, "group": "g"}]
    same = [{"name": "same", "project": project, "pool_group": "g"} for project in ("p1", "p2")]
    plan = Importer(messaging).plan(zaqar(urls(kind), pools, same))
    assert plan.ready
    assert plan.new_flavors == {"same": ("a",)}
    other = [{"name": "other", "project": project, "pool_group": f"of-{project}"} for project in ("p1", "p2")]
    plan = Importer(messaging).plan(zaqar(urls(kind), pools, [*same, *other]))
    assert set(plan.refused) == {"flavor other"}
    assert "several projects" in plan.refused["flavor other"]


@pytest.mark.parametrize(
    ("uri", "then"),
    [
        ("mongodb://h", "mongodb://h/zaqar"),
        ("mongodb://h1:1,h2:2/?replicaSet=r", "mongodb://h1:1,h2:2/zaqar?replicaSet=r"),
        ("mongodb://u:p@h", "mongodb://u:p@h/zaqar?authSource=admin"),
        ("mongodb://u:p@h/users?w=1", "mongodb://u:p@h/zaqar?w=1&authSource=users"),
        ("mongodb://u:p@h/users?authSource=x", "mongodb://u:p@h/zaqar?authSource=x"),
    ],
)
def test_the_database_does_not_change_who_logs_in_where(uri: str, then: str) -> None:
    assert in_database(uri, "zaqar") == then
