"""What each kind of token opens, and what opens nothing: the same with a stand-in and with a real Keystone."""

import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from werkzeug.test import TestResponse

from tests.api.test_instances import fault
from tests.contract.keystone.world import Keystone, Login, api_of, with_password

NOBODY = ("unauthorized", "The request you have made requires authentication.")
CLIENT = "3381af92-2b9e-11e3-b191-71861300734c"
GONE_WITHIN = 15


def ask(api: Flask, who: Login | None, path: str, method: str = "GET", body: Any = None, **headers: str) -> TestResponse:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if who:
        sent["X-Auth-Token"] = who.token
    return api.test_client().open(path, method=method, json=body, headers=sent)


def messages(api: Flask, who: Login | None, path: str, method: str = "GET", body: Any = None, **headers: str) -> TestResponse:
    return ask(api, who, f"/messaging/v2{path}", method, body, Client_ID=CLIENT, **headers)


def test_a_token_opens_its_own_project(api: Flask, keystone: Keystone) -> None:
    alice, bob = keystone.login("alice"), keystone.login("bob")
    assert ask(api, alice, f"/v1.0/{alice.project_id}/instances").json == {"instances": []}
    for path in (f"/v1.0/{bob.project_id}/instances", "/v1.0/x/instances", f"/v1.0/{alice.project_id}"):
        assert fault(ask(api, alice, path)) == ("forbidden", "Access was denied to this resource.")


@pytest.mark.parametrize("token", ["", "x", "gAAAAABh" + "A" * 180, "é"])
def test_what_is_no_token_of_this_keystone(api: Flask, keystone: Keystone, token: str) -> None:
    answer = ask(api, Login(token, {}), "/v1.0/x/instances")
    assert (answer.status_code, fault(answer)) == (401, NOBODY)
    assert answer.headers["WWW-Authenticate"] == f'Keystone uri="{keystone.auth_url}"'
    assert messages(api, Login(token, {}), "/queues").status_code == 401


def test_none_at_all(api: Flask) -> None:
    assert fault(ask(api, None, "/v1.0/x/instances")) == NOBODY


def test_a_revoked_token(api: Flask, keystone: Keystone) -> None:
    login = keystone.login("alice")
    keystone.revoke(login)
    assert fault(ask(api, login, f"/v1.0/{login.project_id}/limits")) == NOBODY


def short_lived(api: Flask, keystone: Keystone) -> tuple[Login, float]:
    """A token that has opened the API and will soon not; a busy machine needs more seconds for that."""
    for seconds in (3.0, 12.0, 48.0):
        with contextlib.suppress(requests.HTTPError):
            login = keystone.credential("alice", seconds)
            if ask(api, login, f"/v1.0/{login.project_id}/limits").status_code == 200:
                return login, seconds
    raise AssertionError("every token had expired before it was used")


def test_an_expired_token_needs_a_service_beside_it(api: Flask, keystone: Keystone) -> None:
    service, bob = keystone.login("dbaas"), keystone.login("bob")
    login, seconds = short_lived(api, keystone)
    path = f"/v1.0/{login.project_id}/limits"
    until = time.monotonic() + seconds + GONE_WITHIN
    while (answer := ask(api, login, path)).status_code == 200:
        assert time.monotonic() < until, "it did not expire"
    assert fault(answer) == NOBODY
    assert ask(api, login, path, X_Service_Token=service.token).status_code == 200
    assert fault(ask(api, login, path, X_Service_Token=bob.token)) == NOBODY
    assert fault(ask(api, login, path, X_Service_Token="x")) == NOBODY
    assert fault(ask(api, login, path)) == NOBODY


def test_a_service_token_must_hold_beside_a_good_token_too(api: Flask, keystone: Keystone) -> None:
    login, service = keystone.login("alice"), keystone.login("dbaas")
    path = f"/v1.0/{login.project_id}/limits"
    assert ask(api, login, path, X_Service_Token=service.token).status_code == 200
    assert fault(ask(api, login, path, X_Service_Token="x")) == NOBODY
    assert fault(ask(api, None, path, X_Service_Token=service.token)) == NOBODY


def test_what_a_client_says_of_its_identity_is_not_heard(api: Flask, keystone: Keystone) -> None:
    alice, admin = keystone.login("alice"), keystone.login("admin")
    said = {
        "X_Identity_Status": "Confirmed",
        "X_Roles": "admin",
        "X_Role": "admin",
        "X_User_Id": "someone",
        "X_Project_Id": admin.project_id,
        "X_Tenant_Id": admin.project_id,
        "OpenStack_System_Scope": "all",
        "X_Storage_Token": admin.token,
    }
    assert fault(ask(api, None, f"/v1.0/{admin.project_id}/instances", **said)) == NOBODY
    assert ask(api, alice, f"/v1.0/{admin.project_id}/instances", **said).status_code == 403
    assert ask(api, alice, f"/v1.0/{alice.project_id}/mgmt/quotas/{admin.project_id}", **said).status_code == 403


def test_a_token_of_no_project(api: Flask, keystone: Keystone) -> None:
    login = keystone.login("alice", {"unscoped": {}})
    assert ask(api, login, "/v1.0/x/instances").status_code == 403
    assert ask(api, login, "/v1.0//instances").status_code == 404
    assert messages(api, login, "/queues").status_code == 403


def test_roles_are_those_of_the_token(api: Flask, keystone: Keystone) -> None:
    alice, admin = keystone.login("alice"), keystone.login("admin")
    path = f"mgmt/quotas/{alice.project_id}"
    assert ask(api, admin, f"/v1.0/{admin.project_id}/{path}", "PUT", {"quotas": {"instances": 7}}).status_code == 200
    assert ask(api, alice, f"/v1.0/{alice.project_id}/{path}", "PUT", {"quotas": {"instances": 70}}).status_code == 403
    shown = ask(api, alice, f"/v1.0/{alice.project_id}/{path}").json
    assert shown is not None
    assert {q["resource"]: q["limit"] for q in shown["quotas"]}["instances"] == 7
    assert messages(api, admin, "/pools").status_code == 200
    assert messages(api, alice, "/pools").status_code == 403


def test_a_token_of_the_system_manages_and_owns_nothing(api: Flask, keystone: Keystone) -> None:
    system, alice = keystone.system(), keystone.login("alice")
    mine = f"/v1.0/{alice.project_id}"
    for path in (f"/mgmt/quotas/{alice.project_id}", "/mgmt/quotas/x", "/operations", "/datastores", "/flavors"):
        assert ask(api, system, mine + path).status_code == 200, path
    assert ask(api, system, f"{mine}/mgmt/quotas/x", "PUT", {"quotas": {"instances": 3}}).status_code == 200
    refused = ask(api, system, f"{mine}/instances")
    assert fault(refused) == (
        "forbidden",
        "Policy doesn't allow instance:index with a token of the system: use one of the project.",
    )
    assert ask(api, system, "/v1.0//flavors").status_code == 404
    assert messages(api, system, "/pools").status_code == 200
    assert messages(api, system, "/flavors").status_code == 200
    assert messages(api, system, "/queues/q", "PUT").status_code == 403


def test_a_token_of_the_system_acts_on_operations(api: Flask, keystone: Keystone) -> None:
    system, bob = keystone.system(), keystone.login("bob")
    mine = f"/v1.0/{bob.project_id}"
    wanted = {"name": "db", "flavorRef": "1", "volume": {"size": 1}, "datastore": {"type": "mariadb"}}
    assert ask(api, bob, f"{mine}/instances", "POST", {"instance": wanted}).status_code == 200
    listed = ask(api, system, f"{mine}/operations").json
    assert listed is not None
    [operation] = listed["operations"]
    cancelled = ask(api, system, f"{mine}/operations/{operation['id']}/action", "POST", {"cancel": {}})
    assert cancelled.status_code == 202
    assert ask(api, system, f"/v1.0/other/operations/{operation['id']}").status_code == 404
    assert ask(api, keystone.login("alice"), f"{mine}/operations").status_code == 403


def test_signed_urls_need_no_token_and_hear_of_none(api: Flask, keystone: Keystone, tmp_path: Path) -> None:
    alice, pool = keystone.login("alice"), {"uri": f"sqlite:///{tmp_path}/pool.db", "weight": 1}
    assert messages(api, keystone.system(), "/pools/only", "PUT", pool).status_code == 201
    assert messages(api, alice, "/queues/signed", "PUT").status_code == 201
    shared = messages(api, alice, "/queues/signed/share", "POST", {"paths": ["messages"], "methods": ["GET", "POST"]}).json
    assert shared is not None
    signed = {
        "URL_Signature": shared["signature"],
        "URL_Expires": shared["expires"],
        "URL_Methods": ",".join(shared["methods"]),
        "URL_Paths": ",".join(shared["paths"]),
        "X_Project_ID": shared["project"],
    }
    body = {"messages": [{"ttl": 60, "body": 1}]}
    for token in (None, Login("x", {}), keystone.login("bob")):
        answer = messages(api, token, "/queues/signed/messages", "POST", body, X_Roles="admin", **signed)
        assert answer.status_code == 201
    assert messages(api, None, "/queues/signed", "DELETE", **signed).status_code == 404
    assert messages(api, alice, "/queues/signed/messages").status_code == 200


def test_access_rules_of_an_application_credential_hold(api: Flask, keystone: Keystone) -> None:
    rules = [
        {"service": "database", "method": "GET", "path": "/v1.0/*/limits"},
        {"service": "messaging", "method": "GET", "path": "/messaging/v2/ping"},
    ]
    with keystone.cataloged("database", "messaging"):
        login = keystone.credential("alice", access_rules=rules)
        assert ask(api, login, f"/v1.0/{login.project_id}/limits").status_code == 200
        assert fault(ask(api, login, f"/v1.0/{login.project_id}/instances")) == NOBODY
        assert fault(ask(api, login, f"/v1.0/{login.project_id}/instances", "POST", {})) == NOBODY
        assert messages(api, login, "/ping").status_code == 204
        assert messages(api, login, "/queues").status_code == 401


@pytest.mark.parametrize("path", ["/", "/v1.0", "/v1.0/", "/healthcheck", "/messaging", "/openapi.json"])
def test_open_to_all(api: Flask, path: str) -> None:
    assert ask(api, None, path).status_code in (200, 300)


@pytest.mark.parametrize("path", ["/identity", "/identity/v3", "/identity/v3/auth/tokens", "/identity/v3/projects"])
def test_the_development_identity_is_not_served(api: Flask, path: str) -> None:
    assert ask(api, None, path).status_code == 404
    assert ask(api, None, path, "POST", {}).status_code == 404


def test_a_service_that_can_not_log_in_itself(keystone: Keystone, tmp_path: Path) -> None:
    alice = keystone.login("alice")
    with api_of(tmp_path, with_password(keystone, "wr0ng-secret")) as api:
        answer = ask(api, alice, f"/v1.0/{alice.project_id}/limits")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert fault(answer)[0] == "serviceUnavailable"
    assert "wr0ng" not in answer.text
