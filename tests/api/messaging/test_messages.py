"""Messages and claims on the wire."""

from typing import Any

import pytest

from tests.api.messaging.post_office import OTHER_CLIENT, PostOffice

MESSAGES, CLAIMS = "/v2/queues/orders/messages", "/v2/queues/orders/claims"
OTHER = {"Client-ID": OTHER_CLIENT}


def test_posting_makes_the_queue(office: PostOffice) -> None:
    answer = office.ada.post(MESSAGES, {"messages": [{"body": {"n": 1}, "ttl": 300}, {"body": "two", "what": "else"}]})
    assert answer.status_code == 201
    assert all(href.startswith(f"{MESSAGES}/") for href in answer.json["resources"])
    ids = ",".join(href.rsplit("/", 1)[1] for href in answer.json["resources"])
    assert answer.headers["Location"] == f"{MESSAGES}?ids={ids}"
    listed = office.ada.get(f"{MESSAGES}?echo=true").json["messages"]
    assert [(m["body"], m["ttl"]) for m in listed] == [({"n": 1}, 300), ("two", 3600)]
    assert office.ada.get(answer.headers["Location"]).json["messages"] == listed
    assert office.ada.get(answer.json["resources"][0]).json == listed[0]


@pytest.mark.parametrize("body", [{"n": 1}, [1, 2], "text", 7, 1.5, None, True, "ü😀\0"])
def test_bodies_come_back_as_they_were(office: PostOffice, body: Any) -> None:
    [id] = office.ada.say("orders", body)
    assert office.ada.get(f"{MESSAGES}/{id}").json["body"] == body


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"messages": []},
        {"messages": {}},
        {"messages": [1]},
        {"messages": [{}]},
        {"messages": [{"body": 1, "ttl": 59}]},
        {"messages": [{"body": 1, "ttl": 1209601}]},
        {"messages": [{"body": 1, "ttl": "60"}]},
        {"messages": [{"body": 1, "ttl": True}]},
        {"messages": [{"body": 1, "delay": 901}]},
        {"messages": [{"body": 1}, {"ttl": 60}]},
    ],
)
def test_bad_posts(office: PostOffice, body: Any) -> None:
    assert office.ada.post(MESSAGES, body).status_code == 400
    assert office.ada.get(f"{MESSAGES}?echo=true").json["messages"] == []


def test_the_size_of_a_post_is_limited(office: PostOffice) -> None:
    assert office.ada.post(MESSAGES, {"messages": [{"body": "x" * 262144}]}).status_code == 400
    assert office.ada.post(MESSAGES, {"messages": [{"body": "x" * 2_000_000}]}).status_code == 400
    assert office.ada.post(MESSAGES, {"messages": [{"body": "x" * 262000}]}).status_code == 201


def test_a_queue_may_have_a_limit_of_its_own(office: PostOffice) -> None:
    office.ada.put("/v2/queues/orders", {"_max_messages_post_size": 100})
    assert office.ada.post(MESSAGES, {"messages": [{"body": "x" * 100}]}).status_code == 400
    assert office.ada.post(MESSAGES, {"messages": [{"body": "x"}]}).status_code == 201


def test_own_messages_are_left_out_unless_asked_for(office: PostOffice) -> None:
    office.ada.say("orders", 1)
    assert office.ada.get(MESSAGES).json == {"messages": [], "links": []}
    assert len(office.ada.get(MESSAGES, headers=OTHER).json["messages"]) == 1
    assert len(office.ada.get(f"{MESSAGES}?echo=True").json["messages"]) == 1


def test_pages(office: PostOffice) -> None:
    office.ada.say("orders", *range(5))
    seen: list[int] = []
    path = f"{MESSAGES}?limit=2&echo=1"
    for _ in range(3):
        page = office.ada.get(path).json
        seen += [m["body"] for m in page["messages"]]
        [link] = page["links"]
        path = link["href"]
        assert path.startswith(f"{MESSAGES}?")
    assert seen == list(range(5))
    assert office.ada.get(path).json == {"messages": [], "links": []}


@pytest.mark.parametrize("query", ["limit=0", "limit=21", "marker=x", "echo=maybe", "ids=", "wait=61", "wait=-1", "wait=x"])
def test_bad_queries(office: PostOffice, query: str) -> None:
    assert office.ada.get(f"{MESSAGES}?{query}").status_code == 400


def test_messages_by_id(office: PostOffice) -> None:
    ids = office.ada.say("orders", 1, 2, 3)
    assert len(office.ada.get(f"{MESSAGES}?ids={ids[0]},{ids[2]}").json["messages"]) == 2
    assert len(office.ada.get(f"{MESSAGES}?ids={ids[0]}&ids={ids[2]}").json["messages"]) == 2
    assert office.ada.get(f"{MESSAGES}?ids={'0' * 24}").status_code == 404
    assert office.ada.get(f"{MESSAGES}?ids={','.join(['0' * 24] * 21)}").status_code == 400
    assert office.ada.get(f"{MESSAGES}/{'0' * 24}").status_code == 404
    assert office.ada.get(f"{MESSAGES}/nonsense").status_code == 404


def test_another_queue_or_project_does_not_give_a_message(office: PostOffice) -> None:
    [id] = office.ada.say("orders", 1)
    office.ada.say("other", 2)
    office.bob.say("orders", 3)
    assert office.ada.get(f"/v2/queues/other/messages/{id}").status_code == 404
    assert office.bob.get(f"{MESSAGES}/{id}").status_code == 404


def test_deleting(office: PostOffice) -> None:
    ids = office.ada.say("orders", 1, 2, 3)
    assert [office.ada.delete(f"{MESSAGES}/{ids[0]}").status_code for _ in range(2)] == [204, 204]
    assert office.ada.delete(f"{MESSAGES}?ids={ids[1]},{ids[2]}").status_code == 204
    assert office.ada.get("/v2/queues/orders/stats").json["messages"]["total"] == 0


def test_popping(office: PostOffice) -> None:
    office.ada.say("orders", 1, 2, 3)
    popped = office.ada.delete(f"{MESSAGES}?pop=2").json["messages"]
    assert [m["body"] for m in popped] == [1, 2]
    assert set(popped[0]) == {"id", "age", "ttl", "body", "claim_id", "claim_count"}
    assert office.ada.get("/v2/queues/orders/stats").json["messages"]["total"] == 1


@pytest.mark.parametrize("query", ["", "?pop=1&ids=a", "?pop=0", "?pop=21", "?ids="])
def test_bad_deletions(office: PostOffice, query: str) -> None:
    assert office.ada.delete(f"{MESSAGES}{query}").status_code == 400


def test_the_life_of_a_claim(office: PostOffice) -> None:
    ids = office.ada.say("orders", 1, 2, 3)
    answer = office.ada.post(f"{CLAIMS}?limit=2", {"ttl": 100, "grace": 60})
    location = answer.headers["Location"]
    claim = location.rsplit("/", 1)[1]
    assert (answer.status_code, location) == (201, f"{CLAIMS}/{claim}")
    assert [m["href"] for m in answer.json["messages"]] == [f"{MESSAGES}/{id}?claim_id={claim}" for id in ids[:2]]

    shown = office.ada.get(location).json
    assert (shown["ttl"], shown["href"], len(shown["messages"])) == (100, location, 2)
    assert office.ada.delete(f"{MESSAGES}/{ids[0]}").status_code == 403
    assert office.ada.delete(f"{MESSAGES}/{ids[2]}?claim_id={claim}").status_code == 400
    assert office.ada.delete(answer.json["messages"][0]["href"]).status_code == 204

    assert office.ada.patch(location, {"ttl": 200}).status_code == 204
    assert office.ada.get(location).json["ttl"] == 200
    assert [office.ada.delete(location).status_code for _ in range(2)] == [204, 204]
    assert office.ada.get(location).status_code == 404
    assert office.ada.patch(location, {"ttl": 200}).status_code == 404
    assert [m["body"] for m in office.ada.claim("orders")[1]] == [2, 3]


def test_claims_do_not_share_messages(office: PostOffice) -> None:
    office.ada.say("orders", *range(10))
    claimed = [[m["body"] for m in office.ada.post(f"{CLAIMS}?limit=3").json["messages"]] for _ in range(4)]
    assert sorted(body for bodies in claimed for body in bodies) == list(range(10))
    assert office.ada.post(CLAIMS).status_code == 204


def test_nothing_to_claim(office: PostOffice) -> None:
    answer = office.ada.post(CLAIMS)
    assert (answer.status_code, answer.data) == (204, b"")
    assert office.ada.get(f"{CLAIMS}/nothing").status_code == 404


@pytest.mark.parametrize("terms", [{"ttl": 59}, {"ttl": 43201}, {"grace": 59}, {"grace": "60"}, [], 7])
def test_bad_claims(office: PostOffice, terms: Any) -> None:
    office.ada.say("orders", 1)
    assert office.ada.post(CLAIMS, terms).status_code == 400
    claim, _ = office.ada.claim("orders")
    assert office.ada.patch(f"{CLAIMS}/{claim}", terms).status_code == 400


def test_claimed_messages_are_listed_on_demand(office: PostOffice) -> None:
    office.ada.say("orders", 1)
    claim, _ = office.ada.claim("orders")
    assert office.ada.get(MESSAGES, headers=OTHER).json["messages"] == []
    [listed] = office.ada.get(f"{MESSAGES}?include_claimed=true", headers=OTHER).json["messages"]
    assert listed["href"].endswith(f"?claim_id={claim}")


def test_delayed_messages_are_listed_on_demand(office: PostOffice) -> None:
    office.ada.say("orders", 1, delay=900)
    assert office.ada.get(MESSAGES, headers=OTHER).json["messages"] == []
    assert len(office.ada.get(f"{MESSAGES}?include_delayed=true", headers=OTHER).json["messages"]) == 1
    assert office.ada.post(CLAIMS).status_code == 204


def test_dead_letters(office: PostOffice) -> None:
    office.ada.put("/v2/queues/orders", {"_max_claim_count": 1, "_dead_letter_queue": "dead"})
    office.ada.say("orders", "poison")
    claim, _ = office.ada.claim("orders")
    office.ada.delete(f"{CLAIMS}/{claim}")
    assert office.ada.post(CLAIMS).status_code == 204
    assert [m["body"] for m in office.ada.claim("dead")[1]] == ["poison"]
