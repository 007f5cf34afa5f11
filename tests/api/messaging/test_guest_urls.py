"""The URL of a guest: it is renewed by using it, and opens nothing but the guest's own queue for posts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api.messaging.waiting import Waiters
from messaging.values import Draft
from tests.api.messaging.post_office import CLIENT, PROJECTS, PostOffice
from tests.api.stand import CANARY

ONE, OTHER = "4d3f6f4e-96c5-4c5a-9a1b-0c2a1b6d7e8f", "5e4f6f4e-96c5-4c5a-9a1b-0c2a1b6d7e8f"
SERVICE = "coffer-guests"
QUEUE, OTHERS = f"guest-{ONE}", f"guest-{OTHER}"
MESSAGES = f"/v2/queues/{QUEUE}/messages"
POST = {"messages": [{"ttl": 300, "body": {"v": 1}}]}


def headers(post_to: dict[str, str]) -> dict[str, str]:
    return {
        "Client-ID": CLIENT,
        "X-Project-ID": post_to["project"],
        "URL-Paths": post_to["paths"],
        "URL-Methods": post_to["methods"],
        "URL-Expires": post_to["expires"],
        "URL-Signature": post_to["signature"],
    }


def ending_in(office: PostOffice, seconds: float) -> dict[str, str]:
    """A URL as it is that long before its end."""
    begun = datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=seconds)
    signed = office.parts.signer.sign(SERVICE, QUEUE, ["messages"], ["POST"], begun + timedelta(hours=1), now=begun)
    made = office.parts.urls.post_to(ONE)
    return {**made, "expires": signed.expires, "signature": signed.signature}


def ask(office: PostOffice, method: str, path: str, sent: dict[str, str], body: Any = None) -> TestResponse:
    return office.anyone.open(path, method=method, headers=sent, **({"json": body} if body is not None else {}))


@pytest.fixture
def office(office: PostOffice) -> Iterator[PostOffice]:
    """With the queues of two guests, and a tenant's of the same name.  At the end nothing has changed but the one queue."""
    queues, messages = office.parts.messaging.queues, office.parts.messaging.messages
    for project, name in ((SERVICE, QUEUE), (SERVICE, OTHERS), (office.ada.project_id, QUEUE)):
        queues.put(project, name)
        messages.post(project, name, [Draft({"secret": CANARY})], "me")
    yield office
    assert [queue.name for queue in queues.list(SERVICE).page.items] == sorted([QUEUE, OTHERS])
    for project, name in ((SERVICE, OTHERS), (office.ada.project_id, QUEUE)):
        assert [m.body for m in messages.list(project, name, client="").items] == [{"secret": CANARY}]
    assert queues.stats(SERVICE, QUEUE).claimed == 0
    assert queues.stats(SERVICE, QUEUE).total >= 1


def test_it_is_of_the_form_that_was_agreed(office: PostOffice) -> None:
    settings = office.parts.urls.settings(ONE)
    made = settings["post_to"]
    assert (settings["period"], made["project"], made["methods"], made["paths"]) == (10.0, SERVICE, "POST", MESSAGES)
    assert made["url"] == f"http://127.0.0.1:8779/messaging{MESSAGES}"
    assert set(made) == {"url", "project", "paths", "methods", "expires", "signature"}
    ends = datetime.fromisoformat(made["expires"]).replace(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(minutes=59) < ends <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("option", "group", "value", "expected"),
    [
        ("endpoint", "telemetry", "https://api.example:1/m/", "https://api.example:1/m"),
        ("public_endpoint", "api", "https://api.example/", "https://api.example/messaging"),
        ("bind_host", "api", "::1", "http://[::1]:8779/messaging"),
    ],
)
def test_where_guests_reach_it(office: PostOffice, option: str, group: str, value: str, expected: str) -> None:
    office.conf.set_override(option, value, group)
    try:
        assert office.parts.urls.post_to(ONE)["url"] == f"{expected}{MESSAGES}"
    finally:
        office.conf.clear_override(option, group)


def test_the_second_half_of_its_life_brings_the_next_one(office: PostOffice) -> None:
    young = ask(office, "POST", MESSAGES, headers(ending_in(office, 1810)), POST)
    assert (young.status_code, set(young.json)) == (201, {"resources"})
    old = ask(office, "POST", f"/messaging{MESSAGES}", headers(ending_in(office, 1790)), POST)
    assert (old.status_code, set(old.json)) == (201, {"resources", "post_to"})
    following = old.json["post_to"]
    assert following["expires"] > ending_in(office, 1790)["expires"]
    assert {name: following[name] for name in ("project", "paths", "methods")} == {
        "project": SERVICE,
        "paths": MESSAGES,
        "methods": "POST",
    }
    assert ask(office, "POST", MESSAGES, headers(following), POST).status_code == 201


def test_an_expired_one_brings_nothing(office: PostOffice) -> None:
    late = ask(office, "POST", MESSAGES, headers(ending_in(office, -1)), POST)
    assert (late.status_code, "post_to" in late.text) == (404, False)


def test_a_guest_whose_queue_is_gone_is_told_nothing(office: PostOffice) -> None:
    office.parts.messaging.queues.delete(SERVICE, QUEUE)
    answer = ask(office, "POST", MESSAGES, headers(ending_in(office, 100)), POST)
    assert (answer.status_code, "post_to" in answer.text) == (404, False)
    office.parts.messaging.queues.put(SERVICE, QUEUE)
    office.parts.messaging.messages.post(SERVICE, QUEUE, [Draft({})], "me")


def test_no_other_signed_url_is_renewed(office: PostOffice) -> None:
    """Neither a tenant's of a queue of the same name, nor one of the service project that is no guest's."""
    soon = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%S")
    shared = office.ada.post(f"/v2/queues/{QUEUE}/share", {"methods": ["POST"], "expires": soon}).json
    sent = {**headers(ending_in(office, 100)), "X-Project-ID": shared["project"], "URL-Expires": shared["expires"]}
    answer = ask(office, "POST", MESSAGES, {**sent, "URL-Signature": shared["signature"]}, POST)
    assert (answer.status_code, set(answer.json)) == (201, {"resources"})
    office.parts.messaging.messages.delete_many(
        office.ada.project_id, QUEUE, [href.rsplit("/", 1)[1] for href in answer.json["resources"]]
    )
    assert office.parts.urls.next(SERVICE, "guest-1", soon) is None
    assert office.parts.urls.next(SERVICE, f"x{QUEUE[1:]}", soon) is None


def test_a_token_brings_no_url(office: PostOffice) -> None:
    answer = office.ada.post(f"/v2/queues/{OTHERS}-x/messages", POST)
    assert (answer.status_code, set(answer.json)) == (201, {"resources"})


CRAFTED: list[tuple[str, str, dict[str, str]]] = [
    # reading, claiming, deleting what is in its own queue
    ("GET", MESSAGES, {}),
    ("GET", f"{MESSAGES}?echo=true&include_claimed=true", {}),
    ("GET", f"{MESSAGES}?wait=60", {}),
    ("HEAD", MESSAGES, {}),
    ("DELETE", f"{MESSAGES}?pop=1", {}),
    ("DELETE", f"{MESSAGES}?ids=1", {}),
    ("POST", f"/v2/queues/{QUEUE}/claims", {}),
    ("POST", f"/v2/queues/{QUEUE}/share", {}),
    ("POST", f"/v2/queues/{QUEUE}/purge", {}),
    ("GET", f"/v2/queues/{QUEUE}/stats", {}),
    ("PATCH", f"/v2/queues/{QUEUE}", {}),
    ("PUT", f"/v2/queues/{QUEUE}", {}),
    ("DELETE", f"/v2/queues/{QUEUE}", {}),
    # as if its headers permitted more
    ("GET", MESSAGES, {"URL-Methods": "GET"}),
    ("GET", MESSAGES, {"URL-Methods": "GET,POST"}),
    ("POST", MESSAGES, {"X-HTTP-Method-Override": "GET"}),
    ("POST", f"/v2/queues/{QUEUE}/claims", {"URL-Paths": f"/v2/queues/{QUEUE}/claims"}),
    # another guest's queue
    ("POST", f"/v2/queues/{OTHERS}/messages", {}),
    ("POST", f"/messaging/v2/queues/{OTHERS}/messages", {}),
    ("POST", f"/v2/queues/{OTHERS}/messages", {"URL-Paths": f"/v2/queues/{OTHERS}/messages"}),
    ("POST", f"/v2/queues/{OTHERS}/messages", {"URL-Paths": f"{MESSAGES},/v2/queues/{OTHERS}/messages"}),
    ("GET", f"/v2/queues/{OTHERS}/messages", {}),
    ("POST", f"/v2/queues/{OTHERS}/claims", {}),
    ("POST", f"{MESSAGES}/../../{OTHERS}/messages", {}),
    ("POST", f"/v2/queues/{QUEUE}%2f..%2f{OTHERS}/messages", {}),
    ("POST", f"/v2/queues/{QUEUE.upper()}/messages", {}),
    ("POST", "/v2/queues/guest-/messages", {}),
    ("POST", f"/v2/queues/{QUEUE[:-1]}/messages", {}),
    ("POST", f"/v2/queues/{QUEUE}0/messages", {}),
    # a tenant's, and whatever else there is
    ("POST", MESSAGES, {"X-Project-ID": PROJECTS["alpha"]}),
    ("GET", "/v2/queues", {}),
    ("GET", "/v2/pools", {}),
    ("PUT", "/v2/pools/mine", {}),
    ("GET", f"/v1.0/{PROJECTS['alpha']}/instances", {}),
    ("GET", f"/v1.0/{SERVICE}/instances", {}),
    # a longer life
    ("POST", MESSAGES, {"URL-Expires": "2999-01-01T00:00:00"}),
    ("POST", MESSAGES, {"URL-Signature": "0" * 64}),
]


@pytest.mark.parametrize(("method", "path", "changed"), CRAFTED)
def test_crafted_requests_reach_nothing(office: PostOffice, method: str, path: str, changed: dict[str, str]) -> None:
    sent = {**headers(ending_in(office, 100)), **changed}
    answer = ask(office, method, path, sent, POST if method in ("POST", "PATCH", "PUT") else None)
    assert answer.status_code == (401 if path.startswith("/v1.0") else 404)
    assert CANARY not in answer.text
    assert "post_to" not in answer.text
    assert office.parts.messaging.queues.stats(SERVICE, QUEUE).total == 1


def test_a_heartbeat_wakes_nobody_and_news_do(office: PostOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[tuple[str, str]] = []
    monkeypatch.setattr(Waiters, "ring", lambda _waiters, project, queue: rung.append((project, queue)))
    sent = headers(office.parts.urls.post_to(ONE))
    for reason in ("start", "heartbeat", "engine", "job", "root", "heartbeat"):
        body = {"messages": [{"ttl": 300, "body": {"v": 1, "reason": reason}}]}
        assert ask(office, "POST", MESSAGES, sent, body).status_code == 201
    assert rung == [(SERVICE, QUEUE)] * 4
    office.ada.say("mine", {"reason": "heartbeat"})
    assert rung[4:] == [(office.ada.project_id, "mine")]
