"""Signed requests: what they may do, and everything that somebody who holds one may try beyond it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.api.messaging.post_office import CLIENT, PROJECTS, PostOffice

MESSAGES = "/v2/queues/guest-1/messages"
POST = {"messages": [{"body": "beat"}]}


def signed(office: PostOffice, queue: str = "guest-1", **body: Any) -> dict[str, str]:
    """The headers of a request that holds."""
    answer = office.ada.post(f"/v2/queues/{queue}/share", body)
    assert answer.status_code == 200, answer.text
    given = answer.json
    return {
        "Client-ID": CLIENT,
        "X-Project-ID": given["project"],
        "URL-Paths": ",".join(given["paths"]),
        "URL-Methods": ",".join(given["methods"]),
        "URL-Expires": given["expires"],
        "URL-Signature": given["signature"],
    }


def ask(office: PostOffice, method: str, path: str, headers: dict[str, str], body: Any = None) -> TestResponse:
    sent = {"json": body} if body is not None else {}
    return office.anyone.open(path, method=method, headers=headers, **sent)


@pytest.fixture
def guest(office: PostOffice) -> Iterator[dict[str, str]]:
    """May post to guest-1.  At the end nobody has read or changed what is not the guest's."""
    office.ada.put("/v2/queues/guest-1")
    office.ada.put("/v2/queues/guest-2")
    office.ada.put("/v2/queues/guest-11")
    office.ada.say("guest-1", "first")
    office.ada.say("guest-2", "secret")
    office.bob.say("guest-1", "foreign")
    yield signed(office, methods=["POST"])
    assert [queue["name"] for queue in office.ada.get("/v2/queues").json["queues"]] == ["guest-1", "guest-11", "guest-2"]
    assert [m["body"] for m in office.ada.get("/v2/queues/guest-2/messages?echo=1").json["messages"]] == ["secret"]
    assert [m["body"] for m in office.bob.get("/v2/queues/guest-1/messages?echo=1").json["messages"]] == ["foreign"]
    assert office.ada.get("/v2/queues/guest-11/stats").json["messages"]["total"] == 0
    assert office.ada.get("/v2/queues/guest-1/stats").json["messages"]["claimed"] == 0


def test_what_it_is_for(office: PostOffice, guest: dict[str, str]) -> None:
    for root in ("", "/messaging"):
        assert ask(office, "POST", root + MESSAGES, guest, POST).status_code == 201
    assert office.ada.get("/v2/queues/guest-1/stats").json["messages"]["total"] == 3


REACHING_OUT = [
    # other methods on the path it has
    ("GET", MESSAGES),
    ("HEAD", MESSAGES),
    ("OPTIONS", MESSAGES),
    ("DELETE", f"{MESSAGES}?pop=1"),
    ("PUT", MESSAGES),
    ("PATCH", MESSAGES),
    ("post", MESSAGES + "?x=1"),
    # other things of the same queue
    ("GET", "/v2/queues/guest-1"),
    ("DELETE", "/v2/queues/guest-1"),
    ("PATCH", "/v2/queues/guest-1"),
    ("PUT", "/v2/queues/guest-1"),
    ("POST", "/v2/queues/guest-1/share"),
    ("POST", "/v2/queues/guest-1/purge"),
    ("POST", "/v2/queues/guest-1/claims"),
    ("GET", "/v2/queues/guest-1/stats"),
    ("POST", "/v2/queues/guest-1/subscriptions"),
    # other queues, by name, by prefix, by pattern
    ("POST", "/v2/queues/guest-2/messages"),
    ("POST", "/v2/queues/guest-11/messages"),
    ("POST", "/v2/queues/guest_1/messages"),
    ("POST", "/v2/queues/guest./messages"),
    ("POST", "/v2/queues/GUEST-1/messages"),
    ("POST", "/V2/queues/guest-1/messages"),
    ("POST", "/v2/Queues/guest-1/messages"),
    ("GET", "/v2/queues"),
    ("GET", "/v2/pools"),
    ("PUT", "/v2/pools/p"),
    ("GET", "/v2/flavors"),
    ("GET", "/v2/health"),
    ("GET", "/v2/ping"),
    ("GET", "/v2/"),
    # one path that looks like another
    ("POST", f"{MESSAGES}/"),
    ("POST", f"/{MESSAGES}"),
    ("POST", "/v2//queues/guest-1/messages"),
    ("POST", "/v2/queues//guest-1/messages"),
    ("POST", "/v2/queues/guest-1//messages"),
    ("POST", f"{MESSAGES}/../../guest-2/messages"),
    ("POST", "/v2/queues/guest-1/../guest-2/messages"),
    ("POST", "/v2/queues/guest-2/../guest-1/messages"),
    ("POST", "/v2/./queues/guest-1/messages"),
    ("POST", "/v2/queues/guest-1/messages/."),
    ("POST", "/v2/queues/guest-1%2Fmessages"),
    ("POST", "/v2/queues/guest%2D1/messages"),
    ("POST", "/v2/queues/guest-1%2f..%2fguest-2/messages"),
    ("POST", "/v2/queues/%2e%2e/queues/guest-1/messages"),
    ("POST", "/v2/queues/guest-1%00/messages"),
    ("POST", "/v2/queues/guest-1%20/messages"),
    ("POST", f"{MESSAGES};x=1"),
    ("POST", f"{MESSAGES}%3Fids=x"),
    ("POST", f"{MESSAGES}%23"),
    ("POST", "/v2/queues/guest-1/messages%0d%0aX: y"),
    ("POST", f"{MESSAGES}?project_id={PROJECTS['beta']}"),
    ("POST", f"{MESSAGES}?X-Project-ID={PROJECTS['beta']}"),
    ("POST", f"{MESSAGES}?_method=GET"),
    ("POST", f"{MESSAGES}?queue=guest-2"),
    ("POST", "/messaging/messaging/v2/queues/guest-1/messages"),
    ("POST", "/messaging/v2/queues/guest-2/messages"),
    ("POST", "/messaging//v2/queues/guest-1/messages"),
    ("GET", f"/v1.0/{PROJECTS['alpha']}/instances"),
]


@pytest.mark.parametrize(("method", "path"), REACHING_OUT)
def test_reaching_out(office: PostOffice, guest: dict[str, str], method: str, path: str) -> None:
    answer = ask(office, method, path, guest, POST if method in ("POST", "PATCH", "PUT") else None)
    assert answer.status_code == (401 if path.startswith("/v1.0") else 400 if "%00" in path else 404)


ANOTHER = datetime.now(UTC) + timedelta(hours=2)
FORGED = [
    {"URL-Methods": "GET"},
    {"URL-Methods": "GET,POST"},
    {"URL-Methods": "post"},
    {"URL-Methods": ""},
    {"URL-Paths": "/v2/queues/guest-2/messages"},
    {"URL-Paths": f"{MESSAGES},/v2/queues/guest-2/messages"},
    {"URL-Paths": "/v2/queues/guest-[12]/messages"},
    {"URL-Paths": "/v2/queues"},
    {"URL-Paths": ""},
    {"X-Project-ID": PROJECTS["beta"]},
    {"X-Project-ID": ""},
    {"X-Project-ID": f"{PROJECTS['alpha']},{PROJECTS['beta']}"},
    {"URL-Expires": ANOTHER.strftime("%Y-%m-%dT%H:%M:%S")},
    {"URL-Expires": "2999-01-01T00:00:00"},
    {"URL-Expires": "never"},
    {"URL-Expires": ""},
    {"URL-Signature": ""},
    {"URL-Signature": "0" * 64},
    {"URL-Signature": "é"},
    {"URL-Signature": f"{'0' * 8}-0-{'0' * 64}"},
    {"X-HTTP-Method-Override": "GET"},
    {"X-HTTP-Method": "DELETE"},
    {"X-Method-Override": "GET"},
]


@pytest.mark.parametrize("forged", FORGED, ids=",".join)  # not their values: one of them is a time
def test_forged_headers(office: PostOffice, guest: dict[str, str], forged: dict[str, str]) -> None:
    for method, path in [("POST", MESSAGES), ("GET", MESSAGES), ("POST", "/v2/queues/guest-2/messages")]:
        answer = ask(office, method, path, {**guest, **forged}, POST if method == "POST" else None)
        assert answer.status_code == 404
        assert answer.json["title"] == "Not found"
    assert office.ada.get("/v2/queues/guest-1/stats").json["messages"]["total"] == 1


@pytest.mark.parametrize("missing", ["X-Project-ID", "URL-Paths", "URL-Methods", "URL-Expires", "URL-Signature"])
def test_every_header_is_needed(office: PostOffice, guest: dict[str, str], missing: str) -> None:
    del guest[missing]
    assert ask(office, "POST", MESSAGES, guest, POST).status_code == 404


def test_a_token_beside_a_signature_opens_nothing(office: PostOffice, guest: dict[str, str]) -> None:
    boss = {**guest, "X-Auth-Token": office.admin.token}
    assert ask(office, "GET", "/v2/pools", boss).status_code == 404
    assert ask(office, "GET", MESSAGES, boss).status_code == 404
    assert ask(office, "POST", MESSAGES, {**boss, "URL-Signature": ""}, POST).status_code == 404


def test_claims_of_an_identity_are_dropped(office: PostOffice, guest: dict[str, str]) -> None:
    roles = {"X-Roles": "admin", "X-User-Id": "root", "X-Identity-Status": "Confirmed", "X-Is-Admin-Project": "True"}
    assert ask(office, "POST", MESSAGES, {**guest, **roles}, POST).status_code == 201
    assert ask(office, "GET", "/v2/health", {**guest, **roles}).status_code == 404


def test_the_client_must_have_an_id(office: PostOffice, guest: dict[str, str]) -> None:
    assert ask(office, "POST", MESSAGES, {**guest, "Client-ID": "x"}, POST).status_code == 400


def test_a_deleted_queue_is_not_made_again(office: PostOffice) -> None:
    office.ada.put("/v2/queues/guest-1")
    guest = signed(office, methods=["POST"])
    assert ask(office, "POST", MESSAGES, guest, POST).status_code == 201
    office.ada.delete("/v2/queues/guest-1")
    assert ask(office, "POST", MESSAGES, guest, POST).status_code == 404
    assert office.ada.get("/v2/queues").json["queues"] == []


def test_reading_and_acknowledging(office: PostOffice) -> None:
    office.ada.say("guest-1", 1, 2)
    office.ada.say("guest-2", 3)
    worker = signed(office, methods=["GET", "POST", "DELETE"], paths=["claims", "messages"])
    claim = ask(office, "POST", "/v2/queues/guest-1/claims?limit=1&wait=0", worker)
    [message] = claim.json["messages"]
    assert ask(office, "GET", claim.headers["Location"], worker).status_code == 200
    assert ask(office, "DELETE", message["href"], worker).status_code == 204
    assert ask(office, "DELETE", claim.headers["Location"], worker).status_code == 204
    assert ask(office, "PATCH", claim.headers["Location"], worker, {}).status_code == 404
    assert ask(office, "POST", "/v2/queues/guest-2/claims", worker).status_code == 404
    assert office.ada.get("/v2/queues/guest-1/stats").json["messages"]["total"] == 1


def test_the_defaults(office: PostOffice) -> None:
    answer = office.ada.post("/v2/queues/guest-1/share", {}).json
    assert (answer["methods"], answer["paths"], answer["project"]) == (["GET"], [MESSAGES], office.ada.project_id)
    left = datetime.strptime(answer["expires"], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC) - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(days=1)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"paths": ["queues"]},
        {"paths": []},
        {"paths": "messages"},
        {"paths": ["../guest-2/messages"]},
        {"methods": ["TRACE"]},
        {"methods": []},
        {"methods": [1]},
        {"expires": 7},
        {"expires": "soon"},
        {"expires": "2001-01-01T00:00:00"},
        {"expires": "2999-01-01T00:00:00"},
        {"project_id": PROJECTS["beta"]},
    ],
)
def test_bad_shares(office: PostOffice, body: Any) -> None:
    assert office.ada.post("/v2/queues/guest-1/share", body).status_code == 400


def test_it_ends(office: PostOffice) -> None:
    office.ada.put("/v2/queues/guest-1")
    soon = datetime.now(UTC) - timedelta(seconds=1)
    past = office.parts.signer.sign(
        office.ada.project_id, "guest-1", methods=["POST"], expires=soon, now=datetime.now(UTC) - timedelta(hours=1)
    )
    guest = {**signed(office, methods=["POST"]), "URL-Expires": past.expires, "URL-Signature": past.signature}
    assert ask(office, "POST", MESSAGES, guest, POST).status_code == 404


def test_another_epoch_voids_what_is_out(office: PostOffice) -> None:
    office.ada.put("/v2/queues/guest-1")
    guest = signed(office, methods=["POST"])
    assert ask(office, "POST", MESSAGES, guest, POST).status_code == 201
    office.conf.set_override("signed_url_epoch", 1, "messaging")
    assert ask(office, "POST", MESSAGES, guest, POST).status_code == 404
    assert ask(office, "POST", MESSAGES, signed(office, methods=["POST"]), POST).status_code == 201
