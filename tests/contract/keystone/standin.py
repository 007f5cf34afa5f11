"""As much of Keystone as the contract asks for, in this process: so that it can be broken, slowed and counted."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.serving import make_server

PASSWORD = "testbed"
USERS = {
    "admin": ("admin", ["admin", "member"]),
    "dbaas": ("service", ["admin", "service"]),
    "alice": ("project-a", ["member", "reader"]),
    "bob": ("project-b", ["member", "reader"]),
}
DOMAIN = {"id": "default", "name": "Default"}


class StandIn:
    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, str]] = []
        """Method and path of each request."""
        self.broken: Callable[[], Response] | None = None
        """What is answered instead, while set."""
        self._tokens: dict[str, dict[str, Any]] = {}
        self._credentials: dict[str, dict[str, Any]] = {}
        self._services: dict[str, dict[str, Any]] = {}
        self.app = Flask("keystone-stand-in")
        self.app.before_request(self._before)
        for rule, method, view in (
            ("/v3", "GET", self._version),
            ("/v3/", "GET", self._version),
            ("/v3/auth/tokens", "POST", self._issue),
            ("/v3/auth/tokens", "GET", self._show),
            ("/v3/auth/tokens", "DELETE", self._revoke),
            ("/v3/services", "POST", self._new_service),
            ("/v3/services/<string:id>", "DELETE", self._no_service),
            ("/v3/endpoints", "POST", self._new_endpoint),
            ("/v3/users/<string:user>/application_credentials", "POST", self._new_credential),
        ):
            self.app.add_url_rule(rule, f"{method} {rule}", view, methods=[method])

    def validations(self) -> int:
        return self.asked.count(("GET", "/v3/auth/tokens"))

    def _before(self) -> Response | None:
        self.asked.append((request.method, request.path))
        return self.broken() if self.broken else None

    def _version(self) -> Response:
        links = [{"rel": "self", "href": f"{self.url}/"}]
        return jsonify({"version": {"id": "v3.14", "status": "stable", "links": links}})

    def _issue(self) -> Any:
        auth = request.get_json()["auth"]
        expires, kept = datetime.now(UTC) + timedelta(hours=1), {}
        if auth["identity"]["methods"] == ["application_credential"]:
            kept = self._credentials[auth["identity"]["application_credential"]["id"]]
            user, scope, expires = kept["user"], {"project": {}}, kept["expires"]
        else:
            given = auth["identity"]["password"]["user"]
            user, scope = given["name"], auth.get("scope") or {}
            if given["password"] != PASSWORD or user not in USERS:
                return jsonify({"error": {"code": 401, "message": "no"}}), 401
        token = uuid.uuid4().hex
        self._tokens[token] = self._body(user, scope, expires) | kept.get("limits", {})
        return jsonify({"token": self._tokens[token]}), 201, {"X-Subject-Token": token}

    def _body(self, user: str, scope: dict[str, Any], expires: datetime) -> dict[str, Any]:
        project, roles = USERS[user]
        body = {
            "methods": ["password"],
            "user": {"id": f"id-{user}", "name": user, "domain": DOMAIN, "password_expires_at": None},
            "audit_ids": [uuid.uuid4().hex],
            "issued_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "roles": [{"id": f"role-{role}", "name": role} for role in roles],
            "catalog": [self._identity(), *self._services.values()],
        }
        if "system" in scope:
            return body | {"system": {"all": True}}
        if "project" in scope:
            return body | {"project": {"id": f"id-{project}", "name": project, "domain": DOMAIN}}
        return {name: value for name, value in body.items() if name not in ("roles", "catalog")}

    def _identity(self) -> dict[str, Any]:
        endpoints = [
            {"id": interface, "interface": interface, "region": "RegionOne", "region_id": "RegionOne", "url": self.url}
            for interface in ("public", "internal", "admin")
        ]
        return {"id": "identity", "type": "identity", "name": "keystone", "endpoints": endpoints}

    def _caller(self) -> dict[str, Any] | None:
        return self._tokens.get(request.headers.get("X-Auth-Token", ""))

    def _show(self) -> Any:
        caller = self._caller()
        if caller is None:
            return jsonify({"error": {"code": 401, "message": "who are you?"}}), 401
        token = request.headers["X-Subject-Token"]
        body = self._tokens.get(token)
        late = body is not None and datetime.fromisoformat(body["expires_at"]) <= datetime.now(UTC)
        if body is None or (late and request.args.get("allow_expired") != "1"):
            return jsonify({"error": {"code": 404, "message": "This is not a recognized token."}}), 404
        return jsonify({"token": body}), 200, {"X-Subject-Token": token}

    def _revoke(self) -> Any:
        self._tokens.pop(request.headers["X-Subject-Token"], None)
        return "", 204

    def _new_service(self) -> Any:
        service = request.get_json()["service"] | {"id": uuid.uuid4().hex, "endpoints": []}
        self._services[service["id"]] = service
        return jsonify({"service": service}), 201

    def _no_service(self, id: str) -> Any:
        del self._services[id]
        return "", 204

    def _new_endpoint(self) -> Any:
        endpoint = request.get_json()["endpoint"] | {"id": uuid.uuid4().hex, "region": "RegionOne", "region_id": "RegionOne"}
        self._services[endpoint["service_id"]]["endpoints"].append(endpoint)
        return jsonify({"endpoint": endpoint}), 201

    def _new_credential(self, user: str) -> Any:
        wanted = request.get_json()["application_credential"]
        id = uuid.uuid4().hex
        expires = datetime.fromisoformat(wanted["expires_at"]).replace(tzinfo=UTC)
        kept: dict[str, Any] = {"user": user.removeprefix("id-"), "expires": expires}
        if "access_rules" in wanted:
            kept["limits"] = {"application_credential": {"id": id, "access_rules": wanted["access_rules"]}}
        self._credentials[id] = kept
        return jsonify({"application_credential": {"id": id, "secret": "secret", **wanted}}), 201


@contextmanager
def serving() -> Iterator[StandIn]:
    stand_in = StandIn()
    server = make_server("127.0.0.1", 0, stand_in.app, threaded=True)
    stand_in.url = f"http://127.0.0.1:{server.server_port}/v3"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        thread.join(10)
