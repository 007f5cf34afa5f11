"""Pools and flavors on the wire."""

from typing import Any

import pytest

from tests.api.messaging.post_office import PostOffice


def new_pool(office: PostOffice, name: str, **fields: Any) -> None:
    answer = office.boss.put(f"/v2/pools/{name}", {"uri": office.uri(name), "weight": 10, **fields})
    assert answer.status_code == 201, answer.text


def test_the_life_of_a_pool(office: PostOffice) -> None:
    for _ in range(2):
        answer = office.boss.put("/v2/pools/fast", {"uri": office.uri("fast"), "weight": 10, "options": {"a": 1}})
        assert (answer.status_code, answer.headers["Location"], answer.data) == (201, "/v2/pools/fast", b"")
    shown = {"href": "/v2/pools/fast", "name": "fast", "uri": office.uri("fast"), "weight": 10, "flavor": None}
    assert office.boss.get("/v2/pools/fast").json == shown
    assert office.boss.get("/v2/pools/fast?detailed=true").json == {**shown, "options": {"a": 1}}
    answer = office.boss.patch("/v2/pools/fast", {"weight": 20, "flavor": "quick"})
    assert (answer.status_code, answer.json) == (200, {**shown, "weight": 20, "flavor": "quick"})
    assert office.boss.patch("/v2/pools/fast", {"flavor": ""}).json["flavor"] is None
    assert [office.boss.delete("/v2/pools/fast").status_code for _ in range(2)] == [204, 204]
    assert office.boss.get("/v2/pools/fast").status_code == 404
    assert office.boss.patch("/v2/pools/fast", {"weight": 1}).status_code == 404


def test_pages_of_pools(office: PostOffice) -> None:
    for name in "cab":
        new_pool(office, name)
    answer = office.boss.get("/v2/pools?limit=2&detailed=true")
    assert answer.headers["Content-Location"] == "/v2/pools"
    assert [(pool["name"], pool["options"]) for pool in answer.json["pools"]] == [("a", {}), ("b", {})]
    [link] = answer.json["links"]
    assert (link["rel"], link["href"].split("?")[0]) == ("next", "/v2/pools")
    assert [pool["name"] for pool in office.boss.get(link["href"]).json["pools"]] == ["c", "default"]
    assert office.boss.get("/v2/pools?marker=default").json == {"pools": [], "links": []}


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"weight": 1},
        {"uri": "sqlite:///x"},
        {"uri": 7, "weight": 1},
        {"uri": "nonsense", "weight": 1},
        {"uri": "mongodb://127.0.0.1:1", "weight": 1},
        {"uri": "sqlite:////nowhere/at/all.db", "weight": 1},
        {"uri": "redis://127.0.0.1:1", "weight": 1},
        {"uri": "sqlite:///a\0b", "weight": 1},
        {"uri": "sqlite:///" + "x" * 256, "weight": 1},
        {"weight": -1},
        {"weight": 2**32},
        {"weight": "1"},
        {"weight": True},
        {"options": []},
        {"flavor": 7},
        {"flavor": "x" * 256},
        {"more": 1},
    ],
)
def test_bad_pools(office: PostOffice, body: Any) -> None:
    if isinstance(body, dict) and not {"uri", "weight"} & body.keys() and body:
        body = {"uri": office.uri("x"), "weight": 1, **body}
    answer = office.boss.put("/v2/pools/x", body)
    assert answer.status_code == 400
    assert answer.json["title"] in ("Invalid API request", "Invalid request body")
    assert office.boss.get("/v2/pools/x").status_code == 404


@pytest.mark.parametrize("body", [None, [], {}, {"weight": -1}, {"uri": "nonsense"}, {"more": 1}, {"weight": 1, "more": 1}])
def test_bad_changes_of_pools(office: PostOffice, body: Any) -> None:
    assert office.boss.patch("/v2/pools/default", body).status_code == 400
    assert office.boss.get("/v2/pools/default").json["weight"] == 100


def test_a_uri_belongs_to_one_pool(office: PostOffice) -> None:
    answer = office.boss.put("/v2/pools/twin", {"uri": office.uri("default"), "weight": 1})
    assert (answer.status_code, answer.json["title"]) == (409, "Resource conflict")
    new_pool(office, "other")
    assert office.boss.patch("/v2/pools/other", {"uri": office.uri("default")}).status_code == 409


def test_a_password_in_a_uri_is_in_no_refusal(office: PostOffice) -> None:
    answer = office.boss.put("/v2/pools/x", {"uri": "postgresql://u:c4nary@127.0.0.1:1/d", "weight": 1})
    assert answer.status_code == 400
    assert "c4nary" not in answer.text


@pytest.mark.parametrize("field", ["group", "pool_group", "pool"])
@pytest.mark.parametrize("path", ["/v2/pools/default", "/v2/flavors/fast"])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_groups_are_gone_and_the_refusal_names_the_new_way(office: PostOffice, method: str, path: str, field: str) -> None:
    body = {"uri": office.uri("default"), "weight": 1} if "pools" in path else {"pool_list": ["default"]}
    answer = office.boss.ask(method, path, {**body, field: "g"})
    assert answer.status_code == 400
    assert answer.json["title"] == "Invalid API request"
    assert answer.json["description"].startswith("There are no pool groups any more: ")
    assert "'pool_list'" in answer.json["description"]


def test_no_answer_has_a_group(office: PostOffice) -> None:
    new_pool(office, "fast")
    office.boss.put("/v2/flavors/fast", {"pool_list": ["fast"]})
    for path in ("/v2/pools?detailed=true", "/v2/pools/fast", "/v2/flavors?detailed=true", "/v2/flavors/fast"):
        assert 'group":' not in office.boss.get(path).text


def test_the_life_of_a_flavor(office: PostOffice) -> None:
    new_pool(office, "a")
    new_pool(office, "b")
    answer = office.boss.put("/v2/flavors/fast", {"pool_list": ["a", "b"], "capabilities": {"FIFO": False}})
    assert (answer.status_code, answer.headers["Location"], answer.data) == (201, "/v2/flavors/fast", b"")
    shown = office.ada.get("/v2/flavors/fast").json
    given = ["FIFO", "CLAIMS", "DURABILITY", "AOD"]
    assert shown == {"href": "/v2/flavors/fast", "name": "fast", "pool_list": ["a", "b"], "capabilities": given}
    answer = office.boss.patch("/v2/flavors/fast", {"pool_list": ["b"]})
    assert (answer.status_code, answer.json) == (200, {**shown, "pool_list": ["b"]})
    assert [office.boss.get(f"/v2/pools/{name}").json["flavor"] for name in "ab"] == [None, "fast"]
    assert [office.boss.delete("/v2/flavors/fast").status_code for _ in range(2)] == [204, 204]
    assert office.boss.get("/v2/pools/b").json["flavor"] is None
    assert office.ada.get("/v2/flavors/fast").status_code == 404


def test_a_pool_may_name_its_flavor_first(office: PostOffice) -> None:
    new_pool(office, "a", flavor="fast")
    assert office.ada.get("/v2/flavors/fast").status_code == 404
    new_pool(office, "b")
    assert office.boss.put("/v2/flavors/fast", {"pool_list": ["a"]}).status_code == 201
    office.boss.patch("/v2/pools/b", {"flavor": "fast"})
    assert office.ada.get("/v2/flavors/fast").json["pool_list"] == ["a", "b"]


def test_pages_of_flavors(office: PostOffice) -> None:
    for name in "ab":
        new_pool(office, name)
        office.boss.put(f"/v2/flavors/{name}", {"pool_list": [name]})
    page = office.ada.get("/v2/flavors?limit=1").json
    assert page["flavors"] == [{"href": "/v2/flavors/a", "name": "a", "pool_list": ["a"]}]
    page = office.ada.get(page["links"][0]["href"] + "&detailed=true").json
    assert page["flavors"][0]["capabilities"] == ["FIFO", "CLAIMS", "DURABILITY", "AOD"]
    assert office.ada.get("/v2/flavors?detailed=None").status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"pool_list": []},
        {"pool_list": "default"},
        {"pool_list": [1]},
        {"pool_list": ["nobody"]},
        {"pool_list": ["default"], "more": 1},
        {"pool_list": ["default"], "capabilities": []},
    ],
)
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_bad_flavors(office: PostOffice, method: str, body: Any) -> None:
    new_pool(office, "a")
    office.boss.put("/v2/flavors/known", {"pool_list": ["a"]})
    assert office.boss.ask(method, "/v2/flavors/known", body).status_code == 400
    assert office.ada.get("/v2/flavors/known").json["pool_list"] == ["a"]


def test_a_flavor_in_use_keeps_its_last_pool(office: PostOffice) -> None:
    new_pool(office, "a", flavor="fast")
    office.boss.put("/v2/flavors/fast", {"pool_list": ["a"]})
    answer = office.boss.delete("/v2/pools/a")
    assert (answer.status_code, answer.json["title"]) == (403, "Not authorized")
    new_pool(office, "b")
    office.boss.put("/v2/flavors/other", {"pool_list": ["b"]})
    assert office.boss.patch("/v2/flavors/other", {"pool_list": ["a"]}).status_code == 409


def test_queues_go_to_their_flavors_pools(office: PostOffice) -> None:
    new_pool(office, "a", flavor="fast")
    office.boss.put("/v2/flavors/fast", {"pool_list": ["a"]})
    assert office.ada.put("/v2/queues/orders", {"_flavor": "fast"}).status_code == 201
    office.ada.say("orders", 1)
    assert office.boss.delete("/v2/pools/default").status_code == 204
    assert office.ada.put("/v2/queues/plain").status_code == 503
    assert [m["body"] for m in office.ada.claim("orders")[1]] == [1]


def test_without_management_neither_is_served(office: PostOffice) -> None:
    office.conf.set_override("management", False, "messaging")
    for path in ("/v2/pools", "/v2/pools/default", "/v2/flavors"):
        assert office.boss.get(path).status_code == 404
    assert office.ada.put("/v2/queues/orders").status_code == 201


@pytest.mark.parametrize("name", ["x" * 65, "a%01b"])
def test_bad_names(office: PostOffice, name: str) -> None:
    assert office.boss.put(f"/v2/pools/{name}", {"uri": office.uri("x"), "weight": 1}).status_code == 400
    assert office.boss.put(f"/v2/flavors/{name}", {"pool_list": ["default"]}).status_code == 400
