"""Headers, tokens, roles, and the shape of refusals."""

import json

import pytest

from tests.api.messaging.post_office import CLIENT, PostOffice

PATHS = ["/v2/", "/v2/ping", "/v2/health", "/v2/queues", "/v2/queues/q", "/v2/queues/q/messages", "/v2/pools", "/v2/flavors"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("root", ["", "/messaging"])
def test_nothing_without_a_token(office: PostOffice, root: str, path: str) -> None:
    for headers in ({}, {"X-Auth-Token": "nonsense"}, {"X-Project-ID": office.ada.project_id, "X-Roles": "admin"}):
        answer = office.anyone.get(root + path, headers={"Client-ID": CLIENT, **headers})
        assert answer.status_code == 401
        assert set(answer.json) == {"title", "description"}
        assert answer.headers["WWW-Authenticate"].startswith("Keystone uri=")


@pytest.mark.parametrize("given", ["", "x", "3381af92", "3381af92-2b9e-11e3-b191-71861300734", f"{CLIENT}0", "{" + CLIENT + "}"])
def test_the_client_must_have_an_id(office: PostOffice, given: str) -> None:
    for path in PATHS:
        answer = office.boss.get(path, headers={"Client-ID": given})
        assert (answer.status_code, answer.json["title"]) == (400, "Invalid API request")


def test_ids_of_clients_are_one_however_they_are_written(office: PostOffice) -> None:
    office.ada.say("orders", 1)
    for same in (CLIENT.upper(), CLIENT.replace("-", "")):
        assert office.ada.get("/v2/queues/orders/messages", headers={"Client-ID": same}).json["messages"] == []


def test_the_project_is_the_tokens(office: PostOffice) -> None:
    """As behind keystonemiddleware, which overwrites what the client says of itself."""
    office.ada.say("orders", 1)
    for user in (office.bob, office.boss):
        seen = user.get("/v2/queues", headers={"X-Project-ID": office.ada.project_id, "X-Roles": "admin"})
        assert seen.json["queues"] == []


@pytest.mark.parametrize("path", ["/v2/pools", "/v2/pools/p", "/v2/health"])
def test_for_administrators_only(office: PostOffice, path: str) -> None:
    answer = office.ada.get(path)
    assert (answer.status_code, answer.json["title"]) == (403, "Not authorized")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/v2/pools/p", "/v2/flavors/f"])
def test_members_change_neither_pools_nor_flavors(office: PostOffice, method: str, path: str) -> None:
    assert office.ada.ask(method, path, {}).status_code == 403


def test_what_is_accepted(office: PostOffice) -> None:
    for accepted in ("application/json", "*/*", "application/*;q=0.1, text/html"):
        assert office.ada.get("/v2/queues", headers={"Accept": accepted}).status_code == 200
    answer = office.ada.get("/v2/queues", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.json["title"]) == (406, "Not acceptable")


def test_forms_are_refused(office: PostOffice) -> None:
    answer = office.ada.put("/v2/queues/q", data="{}", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/queues/", 404),
        ("GET", "/v2//queues", 404),
        ("GET", "/v2/queues/q/messages/m/x", 404),
        ("GET", "/v2/topics", 404),
        ("POST", "/v2/queues", 405),
        ("HEAD", "/v2/queues", 405),
        ("OPTIONS", "/v2/queues", 405),
        ("POST", "/v2/queues/q/messages/m", 405),
        ("GET", "/v2/queues/q/subscriptions", 404),
        ("POST", "/v2/queues/q/subscriptions", 404),
        ("PUT", "/v2/queues/q/subscriptions/s/confirm", 404),
    ],
)
def test_what_is_not_there(office: PostOffice, method: str, path: str, status: int) -> None:
    answer = office.ada.ask(method, path)
    assert answer.status_code == status
    if method != "HEAD":
        assert set(answer.json) == {"title", "description"}


def test_ping(office: PostOffice) -> None:
    assert [office.ada.ask(method, "/v2/ping").status_code for method in ("GET", "HEAD")] == [204, 204]


def test_health_looks_and_writes_nothing(office: PostOffice) -> None:
    office.parts.messaging.pools.put("other", {"uri": office.uri("other"), "weight": 1})
    with office.statements() as sent:
        found = office.boss.get("/v2/health").json
    well = {"storage_reachable": True, "operation_status": {}}
    assert found == {"catalog_reachable": True, "default": well, "other": well}
    assert not [one for one in sent if one.split()[0] in ("INSERT", "UPDATE", "DELETE")]


def test_home(office: PostOffice) -> None:
    answer = office.ada.get("/v2/")
    assert (answer.headers["Content-Type"], answer.headers["Cache-Control"]) == ("application/json-home", "max-age=86400")
    messages = json.loads(answer.text)["resources"]["rel/queues-messages"]
    assert messages["href-template"] == "/v2/queues/{queue_name}/messages"
    assert sorted(messages["hints"]["allow"]) == ["DELETE", "GET", "POST"]


def test_each_service_speaks_of_its_own_versions(office: PostOffice) -> None:
    assert [version["id"] for version in office.anyone.get("/").json["versions"]] == ["v1.0"]
    for path in ("/messaging", "/messaging/"):
        answer = office.anyone.get(path)
        [version] = answer.json["versions"]
        assert (answer.status_code, version["id"], version["status"]) == (300, "v2.0", "CURRENT")
        assert version["links"][0]["href"] == "http://localhost/messaging/v2/"


def test_both_roots_are_one(office: PostOffice) -> None:
    office.ada.put("/messaging/v2/queues/orders")
    page = office.ada.get("/v2/queues").json
    assert page == office.ada.get("/messaging/v2/queues").json
    assert page["queues"] == [{"name": "orders", "href": "/v2/queues/orders"}]


def test_answers_carry_the_request_id(office: PostOffice) -> None:
    assert office.ada.get("/v2/queues").headers["X-Openstack-Request-Id"].startswith("req-")


def test_a_store_that_is_away_is_a_503(office: PostOffice) -> None:
    office.ada.say("orders", 1)
    office.parts.messaging.close()
    office.database.close()
    (office.directory / "default.db").unlink()
    (office.directory / "default.db").mkdir()
    for suffix in ("-wal", "-shm"):
        (office.directory / f"default.db{suffix}").unlink(missing_ok=True)
    answer = office.ada.get("/v2/queues/orders/messages")
    assert (answer.status_code, answer.json["title"]) == (503, "Service temporarily unavailable")
    assert "Retry-After" in answer.headers
    assert office.boss.get("/v2/health").json["default"]["storage_reachable"] is False
