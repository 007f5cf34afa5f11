"""Tokens, the development identity, project check, policies, request ids."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

import config
from api.app import create_app
from api.context import EXTENSION
from api.policies import RULES
from api.routes import policy_of
from api.tokens import LIFETIME
from tests.api.stand import CANARY, PASSWORDS, PROJECTS, Plant, Stand, configured
from tests.api.test_instances import fault

PUBLIC = {
    "/",
    "/messaging",
    "/messaging/",
    "/v1.0",
    "/v1.0/",
    "/healthcheck",
    "/readyz",
    "/openapi.json",
    "/docs",
    "/identity",
    "/identity/",
    "/identity/v3",
    "/identity/v3/",
}
"""All that answers without a token.  /identity/v3/* below checks tokens itself, in test_identity_needs_a_token."""

WELL_FORMED = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def login(stand: Stand, **changes: Any) -> Any:
    user = {"name": "alpha", "domain": {"name": "Default"}, "password": PASSWORDS["alpha"]}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user | changes.pop("user", {})}}}
    auth["scope"] = {"project": {"name": "project-alpha", "domain": {"id": "default"}}}
    return stand.app.test_client().post("/identity/v3/auth/tokens", json={"auth": auth | changes})


# -- tokens


def test_a_password_gives_a_token_that_opens_the_api(stand: Stand) -> None:
    answer = login(stand)
    assert answer.status_code == 201
    token = answer.json["token"]
    assert token["project"]["id"] == PROJECTS["alpha"]
    assert [role["name"] for role in token["roles"]] == ["member"]
    urls = {entry["type"]: entry["endpoints"][0]["url"] for entry in token["catalog"]}
    assert urls == {
        "database": f"http://localhost/v1.0/{PROJECTS['alpha']}",
        "messaging": "http://localhost/messaging",
        "identity": "http://localhost/identity/v3",
    }
    used = stand.app.test_client().get(
        f"/v1.0/{PROJECTS['alpha']}/instances", headers={"X-Auth-Token": answer.headers["X-Subject-Token"]}
    )
    assert used.status_code == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"user": {"password": "wrong"}}, 401),
        ({"user": {"password": ""}}, 401),
        ({"user": {"name": "nobody"}}, 401),
        ({"user": {"domain": {"name": "Elsewhere"}}}, 401),
        ({"scope": {"project": {"name": "project-beta", "domain": {"name": "Default"}}}}, 401),
        ({"scope": {"project": {"id": PROJECTS["beta"]}}}, 401),
        ({"scope": {"project": 3}}, 400),
        ({"identity": {"methods": ["password"]}}, 401),
        ({"identity": {"methods": []}}, 400),
        ({"identity": {"methods": ["totp"]}}, 400),
        ({"identity": {"methods": ["token"], "token": {"id": "forged"}}}, 401),
        ({"identity": None}, 400),
    ],
)
def test_logins_that_fail(stand: Stand, changes: dict[str, Any], status: int) -> None:
    answer = login(stand, **changes)
    assert answer.status_code == status
    assert answer.json["error"]["code"] == status
    assert CANARY not in answer.text


@pytest.mark.parametrize("scope", [None, {"project": {"id": PROJECTS["alpha"]}}])
def test_by_id_and_by_default_project(stand: Stand, scope: Any) -> None:
    answer = login(stand, user={"id": "user-alpha", "name": "ignored"}, scope=scope)
    assert answer.json["token"]["project"]["id"] == PROJECTS["alpha"]


def test_unscoped_tokens_open_no_project(stand: Stand) -> None:
    answer = login(stand, scope={"unscoped": {}})
    assert "project" not in answer.json["token"]
    token = answer.headers["X-Subject-Token"]
    client = stand.app.test_client()
    assert client.get(f"/v1.0/{PROJECTS['alpha']}/instances", headers={"X-Auth-Token": token}).status_code == 403
    assert client.get("/identity/v3/auth/catalog", headers={"X-Auth-Token": token}).status_code == 403
    listed = client.get("/identity/v3/auth/projects", headers={"X-Auth-Token": token}).json["projects"]
    assert [p["id"] for p in listed] == [PROJECTS["alpha"]]
    rescoped = login(stand, identity={"methods": ["token"], "token": {"id": token}})
    assert rescoped.json["token"]["project"]["id"] == PROJECTS["alpha"]
    assert rescoped.json["token"]["expires_at"] <= answer.json["token"]["expires_at"]


def test_tokens_of_another_process_are_known_and_expire(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    other = create_app(stand.conf)
    token = login(stand).headers["X-Subject-Token"]
    path = f"/v1.0/{PROJECTS['alpha']}/limits"
    known: Any = other.extensions[EXTENSION].tokens
    assert known.open(token)
    later = time.time() + LIFETIME + 1
    monkeypatch.setattr("api.tokens.time.time", lambda: later)
    assert known.open(token) is None
    answer = stand.app.test_client().get(path, headers={"X-Auth-Token": token})
    assert answer.status_code == 401


@pytest.mark.parametrize("token", ["", "x", "A" * 200, "é", "=" * 7, "AAAA", "\x00"])
def test_forged_tokens(stand: Stand, token: str) -> None:
    answer = stand.app.test_client().get(f"/v1.0/{PROJECTS['alpha']}/instances", headers={"X-Auth-Token": token})
    assert fault(answer) == ("unauthorized", "The request you have made requires authentication.")
    assert answer.headers["WWW-Authenticate"] == 'Keystone uri="http://localhost/identity/v3"'


def test_a_changed_token_is_forged(stand: Stand) -> None:
    token = stand.alpha.token
    for at in range(0, len(token) - 1, 7):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert stand.tokens.open(changed) is None


def test_a_user_that_is_gone_has_no_token(plant: Plant, stand: Stand) -> None:
    path = Path(stand.conf.auth.identity_file)
    before = path.read_text()
    body = json.loads(before)
    body["users"] = [u for u in body["users"] if u["name"] != "beta"]
    path.write_text(json.dumps(body))
    try:
        assert stand.beta.get("/instances").status_code == 401
        assert stand.alpha.get("/instances").status_code == 200
    finally:
        path.write_text(before)


def test_unknown_paths_need_a_token_too(stand: Stand) -> None:
    client = stand.app.test_client()
    assert client.get("/v1.0/x/nothing").status_code == 401
    assert client.get("/nothing").status_code == 404


# -- the identity beside tokens


@pytest.mark.parametrize(
    "path",
    ["auth/tokens", "auth/catalog", "auth/projects", "auth/domains", "projects", "projects/x", "users/x", "users/x/projects"],
)
def test_identity_needs_a_token(stand: Stand, path: str) -> None:
    answer = stand.app.test_client().get(f"/identity/v3/{path}")
    assert (answer.status_code, answer.json["error"]["code"]) == (401, 401)


def identity(stand: Stand, who: Any, path: str, **headers: str) -> Any:
    return stand.app.test_client().get(f"/identity/v3/{path}", headers={"X-Auth-Token": who.token, **headers})


def test_identity_answers_for_oneself(stand: Stand) -> None:
    assert (
        identity(stand, stand.alpha, "auth/tokens", **{"X-Subject-Token": stand.alpha.token}).json["token"]["user"]["name"]
        == "alpha"
    )
    assert identity(stand, stand.alpha, "auth/tokens", **{"X-Subject-Token": "x"}).status_code == 404
    assert len(identity(stand, stand.alpha, "auth/catalog").json["catalog"]) == 3
    assert identity(stand, stand.alpha, "users/user-alpha").json["user"]["name"] == "alpha"
    assert identity(stand, stand.alpha, "users/user-beta").status_code == 404
    assert identity(stand, stand.alpha, "users/user-beta/projects").status_code == 403
    assert [p["name"] for p in identity(stand, stand.alpha, "users/user-alpha/projects").json["projects"]] == ["project-alpha"]
    assert identity(stand, stand.alpha, "auth/domains").json["domains"] == []


def test_administrators_find_every_project(stand: Stand) -> None:
    assert [p["id"] for p in identity(stand, stand.admin, "projects?name=project-beta").json["projects"]] == [PROJECTS["beta"]]
    assert identity(stand, stand.admin, f"projects/{PROJECTS['beta']}").json["project"]["name"] == "project-beta"
    assert identity(stand, stand.alpha, "projects?name=project-beta").json["projects"] == []
    assert identity(stand, stand.alpha, f"projects/{PROJECTS['beta']}").status_code == 404


def test_discovery(stand: Stand) -> None:
    client = stand.app.test_client()
    for path in ("/identity", "/identity/"):
        assert client.get(path).status_code == 300
    assert client.get("/identity/v3").json["version"]["links"] == [{"rel": "self", "href": "http://localhost/identity/v3/"}]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "db.example"])  # noqa: S104
def test_it_is_for_loopback_only(tmp_path: Path, host: str) -> None:
    with pytest.raises(ValueError, match="loopback only"):
        create_app(config.load(configured(tmp_path, bind_host=host)))


# -- projects and policies


def test_another_projects_path_is_forbidden_even_to_administrators(stand: Stand) -> None:
    for who in (stand.alpha, stand.admin):
        answer = stand.app.test_client().get(f"/v1.0/{PROJECTS['beta']}/instances", headers={"X-Auth-Token": who.token})
        assert fault(answer) == ("forbidden", "Access was denied to this resource.")


def test_every_route_has_a_known_policy_or_is_public(stand: Stand) -> None:
    known = {rule.name for rule in RULES}
    unguarded, used = [], set()
    for rule in stand.app.url_map.iter_rules():
        if rule.rule.startswith("/identity/v3/") or rule.rule in PUBLIC:
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            names = set(policy_of(rule.endpoint, method, stand.app.view_functions))
            used |= names
            if not names or not names <= known:
                unguarded.append((method, rule.rule))
    assert unguarded == []
    assert known - used == {"context_is_admin", "admin", "admin_or_owner"}


def test_a_policy_file_overrides(tmp_path: Path) -> None:
    path = configured(tmp_path)
    (tmp_path / "policy.yaml").write_text(
        '"instance:index": "!"\n"instance:restart": "role:admin"\n"instance:reset_status": "rule:admin_or_owner"\n'
    )
    path.write_text(path.read_text().replace("[auth]", f"[auth]\npolicy_file = {tmp_path}/policy.yaml"))
    stand = Plant(path).stand(tmp_path)
    instance_id = stand.ready()
    assert fault(stand.alpha.get("/instances")) == ("forbidden", "Policy doesn't allow instance:index to be performed.")
    assert stand.alpha.get(f"/instances/{instance_id}").status_code == 200
    assert stand.alpha.post(f"/instances/{instance_id}/action", {"restart": {}}).status_code == 403
    assert stand.alpha.post(f"/instances/{instance_id}/action", {"reset_status": {}}).status_code == 202
    stand.close()


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        ("instance:extension:database:create", {"databases": [{"name": "a"}]}),
        ("instance:extension:user:create", {"users": [{"name": "a", "password": "b"}]}),
        ("instance:extension:root:create", {"root_enabled": True}),
        ("instance:extension:root:create", {"root_password": "x"}),
    ],
)
def test_a_create_needs_the_rights_of_what_it_makes(tmp_path: Path, rule: str, fields: dict[str, Any]) -> None:
    path = configured(tmp_path)
    (tmp_path / "policy.yaml").write_text(f'"{rule}": "!"\n')
    path.write_text(path.read_text().replace("[auth]", f"[auth]\npolicy_file = {tmp_path}/policy.yaml"))
    stand = Plant(path).stand(tmp_path)
    assert stand.alpha.create(**fields).status_code == 403
    assert stand.alpha.create().status_code == 200
    stand.close()


# -- request ids


@pytest.mark.parametrize("path", ["/", "/nothing", "/v1.0/x/y", "/identity/v3", "/healthcheck"])
def test_every_answer_has_a_request_id(stand: Stand, path: str) -> None:
    assert WELL_FORMED.fullmatch(stand.app.test_client().get(path).headers["X-Openstack-Request-Id"])


def test_a_given_request_id_is_kept_if_well_formed(stand: Stand) -> None:
    given = "req-01234567-89ab-cdef-0123-456789abcdef"
    for sent, kept in ((given, True), ("req-x", False), (given + "\n{}", False), (given.upper(), False)):
        if "\n" in sent:
            sent = sent.replace("\n", "%0a")
        answer = stand.alpha.get("/limits", headers={"X-Openstack-Request-Id": sent})
        assert (answer.headers["X-Openstack-Request-Id"] == sent) is kept


def test_headers_of_proxies_are_not_believed(stand: Stand) -> None:
    answer = stand.app.test_client().get("/", headers={"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"})
    assert answer.json["versions"][0]["links"][0]["href"] == "http://localhost/v1.0/"


@pytest.mark.parametrize("path", ["/instances?limit=1%00", "/instances/a%00b", "/instances?marker=%00"])
def test_nul_in_the_address(stand: Stand, path: str) -> None:
    assert stand.alpha.get(path).status_code == 400
