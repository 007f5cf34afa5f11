"""Queues and their metadata on the wire."""

from typing import Any

import pytest

from tests.api.messaging.post_office import PostOffice

DEFAULTS: dict[str, Any] = {
    "_max_messages_post_size": 262144,
    "_default_message_ttl": 3600,
    "_default_message_delay": 0,
    "_dead_letter_queue": None,
    "_dead_letter_queue_messages_ttl": None,
    "_max_claim_count": None,
    "_enable_encrypt_messages": False,
}


def test_a_queue_is_made_once(office: PostOffice) -> None:
    first = office.ada.put("/v2/queues/orders", {"owner": "ada"})
    assert (first.status_code, first.headers["Location"], first.data) == (201, "/v2/queues/orders", b"")
    again = office.ada.put("/v2/queues/orders", {"owner": "eve"})
    assert again.status_code == 204
    assert office.ada.get("/v2/queues/orders").json == {**DEFAULTS, "owner": "ada"}


def test_without_a_body(office: PostOffice) -> None:
    assert office.ada.put("/v2/queues/orders").status_code == 201


def test_a_queue_that_is_not_there_shows_the_defaults(office: PostOffice) -> None:
    answer = office.ada.get("/v2/queues/nothing")
    assert (answer.status_code, answer.json) == (200, DEFAULTS)


@pytest.mark.parametrize("name", ["a" * 65, "a b", "a,b", "ü", ".", ".."])
def test_bad_names(office: PostOffice, name: str) -> None:
    answer = office.ada.put(f"/v2/queues/{name}")
    assert (answer.status_code, answer.json["title"]) == (400, "Invalid API request")


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        "text",
        {"_default_message_ttl": 59},
        {"_default_message_ttl": "60"},
        {"_default_message_delay": 901},
        {"_max_messages_post_size": 262145},
        {"_flavor": "nobody"},
        {"_dead_letter_queue": 7},
    ],
)
def test_bad_metadata(office: PostOffice, metadata: Any) -> None:
    assert office.ada.put("/v2/queues/orders", metadata).status_code == 400
    assert office.ada.get("/v2/queues").json["queues"] == []


@pytest.mark.parametrize("text", ["{", "[1,]", "NaN", '{"a": Infinity}', '{"a": "\\ud800"}', "\xff", "[" * 100_000])
def test_what_is_not_json(office: PostOffice, text: str) -> None:
    answer = office.ada.put("/v2/queues/orders", data=text.encode("latin-1"), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json["title"]) in [(400, "Invalid request body"), (400, "Invalid API request")]


def test_metadata_has_a_limit(office: PostOffice) -> None:
    assert office.ada.put("/v2/queues/orders", {"a": "x" * 65536}).status_code == 400


def test_changing_metadata(office: PostOffice) -> None:
    office.ada.put("/v2/queues/orders", {"a": 1, "b": 2})
    answer = office.ada.change(
        "orders",
        {"op": "add", "path": "/metadata/c", "value": {"x": 1}},
        {"op": "replace", "path": "/metadata/a", "value": 3},
        {"op": "remove", "path": "/metadata/b"},
        {"op": "remove", "path": "/metadata/_default_message_ttl"},
        {"op": "add", "path": "/metadata/a~1b~0", "value": 4},
    )
    expected = {**DEFAULTS, "a": 3, "c": {"x": 1}, "a/b~": 4}
    assert (answer.status_code, answer.json) == (200, expected)
    assert office.ada.get("/v2/queues/orders").json == expected


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"op": "replace", "path": "/metadata/x", "value": 1}, 409),
        ({"op": "remove", "path": "/metadata/x"}, 409),
        ({"op": "move", "path": "/metadata/a"}, 400),
        ({"op": "add", "path": "/metadata/x"}, 400),
        ({"op": "add", "path": "/other/x", "value": 1}, 400),
        ({"op": "add", "path": "/metadata/x/y", "value": 1}, 400),
        ({"op": "add", "path": "/metadata/", "value": 1}, 400),
        ({"op": "add", "path": 7, "value": 1}, 400),
        ({"op": "add", "path": "/metadata/_default_message_ttl", "value": 1}, 400),
    ],
)
def test_changes_that_are_refused(office: PostOffice, change: dict[str, Any], status: int) -> None:
    office.ada.put("/v2/queues/orders", {"a": 1})
    assert office.ada.change("orders", change).status_code == status
    assert office.ada.get("/v2/queues/orders").json == {**DEFAULTS, "a": 1}


def test_a_change_to_nothing(office: PostOffice) -> None:
    assert office.ada.change("nothing", {"op": "add", "path": "/metadata/a", "value": 1}).status_code == 404


def test_a_change_as_plain_json_is_the_wrong_type(office: PostOffice) -> None:
    answer = office.ada.patch("/v2/queues/orders", [])
    assert (answer.status_code, answer.json["title"]) == (415, "Unsupported media type")


def test_whether_there_is_a_queue(office: PostOffice) -> None:
    office.ada.put("/v2/queues/orders")
    asked = [office.ada.ask("HEAD", f"/v2/queues/{name}") for name in ("orders", "nothing")]
    assert [(answer.status_code, answer.data) for answer in asked] == [(204, b""), (404, b"")]


def test_deleting_is_idempotent(office: PostOffice) -> None:
    office.ada.put("/v2/queues/orders")
    assert [office.ada.delete("/v2/queues/orders").status_code for _ in range(2)] == [204, 204]


def test_pages(office: PostOffice) -> None:
    for name in "cab":
        office.ada.put(f"/v2/queues/{name}", {"letter": name})
    office.bob.put("/v2/queues/d")
    page = office.ada.get("/v2/queues?limit=2&detailed=true&with_count=true").json
    assert [queue["name"] for queue in page["queues"]] == ["a", "b"]
    assert page["queues"][0] == {"name": "a", "href": "/v2/queues/a", "metadata": {**DEFAULTS, "letter": "a"}}
    assert page["count"] == 3
    [link] = page["links"]
    assert (link["rel"], link["href"].split("?")[0]) == ("next", "/v2/queues")
    page = office.ada.get(link["href"]).json
    assert [queue["name"] for queue in page["queues"]] == ["c"]
    page = office.ada.get(page["links"][0]["href"]).json
    assert (page["queues"], page["links"]) == ([], [])


def test_filters(office: PostOffice) -> None:
    office.ada.put("/v2/queues/red-1", {"team": "x"})
    office.ada.put("/v2/queues/red-2", {"team": "y"})
    office.ada.put("/v2/queues/blue", {"team": "x"})

    def found(query: str) -> list[str]:
        return [queue["name"] for queue in office.ada.get(f"/v2/queues?{query}").json["queues"]]

    assert found("name=red") == ["red-1", "red-2"]
    assert found("team=x") == ["blue", "red-1"]
    assert found("team=x&name=red") == ["red-1"]


@pytest.mark.parametrize("query", ["limit=0", "limit=21", "limit=-1", "limit=x", "limit=", "detailed=None", "with_count=2"])
def test_bad_queries(office: PostOffice, query: str) -> None:
    assert office.ada.get(f"/v2/queues?{query}").status_code == 400


def test_stats(office: PostOffice) -> None:
    assert office.ada.get("/v2/queues/orders/stats").json == {"messages": {"claimed": 0, "free": 0, "total": 0}}
    first, last = office.ada.say("orders", 1, 2)
    office.ada.post("/v2/queues/orders/claims?limit=1")
    found = office.ada.get("/v2/queues/orders/stats").json["messages"]
    assert (found["claimed"], found["free"], found["total"]) == (1, 1, 2)
    assert found["oldest"]["href"].endswith(first)
    assert found["newest"]["href"].endswith(last)
    assert set(found["newest"]) == {"href", "age", "created"}


def test_purge(office: PostOffice) -> None:
    office.ada.say("orders", 1)
    assert office.ada.post("/v2/queues/orders/purge", {"resource_types": ["subscriptions"]}).status_code == 204
    assert office.ada.get("/v2/queues/orders/stats").json["messages"]["total"] == 1
    assert office.ada.post("/v2/queues/orders/purge", {"resource_types": ["claims"]}).status_code == 400
    assert office.ada.post("/v2/queues/orders/purge").status_code == 204
    assert office.ada.get("/v2/queues/orders/stats").json["messages"]["total"] == 0


def test_projects_do_not_see_each_other(office: PostOffice) -> None:
    office.ada.put("/v2/queues/orders", {"owner": "ada"})
    office.ada.say("orders", 1)
    assert office.bob.get("/v2/queues").json["queues"] == []
    assert office.bob.get("/v2/queues/orders").json == DEFAULTS
    assert office.bob.get("/v2/queues/orders/messages").json["messages"] == []
    assert office.bob.delete("/v2/queues/orders").status_code == 204
    assert office.ada.get("/v2/queues/orders/stats").json["messages"]["total"] == 1
