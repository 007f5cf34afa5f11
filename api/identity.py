"""The development identity: as much of Keystone v3 as today's clients need on one machine.  Not for anything but loopback."""

import ipaddress
from datetime import datetime
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate
from oslo_config.cfg import ConfigOpts

from api.context import base_url
from api.errors import Forbidden, NotFound, Unauthorized
from api.replies import empty, reply
from api.routes import Parser, refuse_invalid
from api.schemas.common import Text
from api.tokens import PATH, DevelopmentTokens, Project, Token, User

DOMAIN = {"id": "default", "name": "Default"}
BAD_LOGIN = "The request you have made requires authentication."


class Domain(Schema):
    id = Text()
    name = Text()


class UserRef(Schema):
    id = Text()
    name = Text()
    password = Text(required=True, load_only=True)
    domain = fields.Nested(Domain(unknown=EXCLUDE))


class ProjectRef(Schema):
    id = Text()
    name = Text()
    domain = fields.Nested(Domain(unknown=EXCLUDE))


class ByPassword(Schema):
    user = fields.Nested(UserRef(unknown=EXCLUDE), required=True)


class ByToken(Schema):
    id = Text(required=True, load_only=True)


class Identity(Schema):
    methods = fields.List(Text(validate=validate.OneOf(["password", "token"])), required=True, validate=validate.Length(1, 1))
    password = fields.Nested(ByPassword(unknown=EXCLUDE))
    token = fields.Nested(ByToken(unknown=EXCLUDE))


class Scope(Schema):
    project = fields.Nested(ProjectRef(unknown=EXCLUDE), required=True)


class Auth(Schema):
    identity = fields.Nested(Identity(unknown=EXCLUDE), required=True)
    scope = fields.Raw(allow_none=True)


class AuthBody(Schema):
    auth = fields.Nested(Auth(unknown=EXCLUDE), required=True)


def refuse_unless_loopback(conf: ConfigOpts) -> None:
    """Passwords in a file and no TLS are for this machine only.  Raises ValueError."""
    host = str(conf.api.bind_host).strip("[]")
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise ValueError(
            f"[api] bind_host {host} can be reached from other machines; the development identity is for loopback only"
        )


def blueprint(tokens: DevelopmentTokens, region: str) -> Blueprint:
    blp = Blueprint("identity", __name__, url_prefix=PATH)
    service = IdentityService(tokens, region)
    for rule, method, handler in (
        ("", "GET", service.versions),
        ("/", "GET", service.versions),
        ("/v3", "GET", service.version),
        ("/v3/", "GET", service.version),
        ("/v3/auth/tokens", "POST", service.issue),
        ("/v3/auth/tokens", "GET", service.validate),
        ("/v3/auth/tokens", "DELETE", service.revoke),
        ("/v3/auth/catalog", "GET", service.catalog),
        ("/v3/auth/projects", "GET", service.own_projects),
        ("/v3/auth/domains", "GET", service.domains),
        ("/v3/projects", "GET", service.projects),
        ("/v3/projects/<string:project_id>", "GET", service.project),
        ("/v3/users/<string:user_id>", "GET", service.user),
        ("/v3/users/<string:user_id>/projects", "GET", service.user_projects),
    ):
        blp.add_url_rule(rule, f"{method}_{handler.__name__}_{rule.count('/')}{rule.endswith('/')}", handler, methods=[method])
    return blp


class IdentityService:
    def __init__(self, tokens: DevelopmentTokens, region: str) -> None:
        self._tokens, self._region = tokens, region

    # -- discovery, open to all

    def versions(self) -> ResponseReturnValue:
        return reply({"versions": {"values": [_version()]}}, 300)

    def version(self) -> ResponseReturnValue:
        return reply({"version": _version()})

    # -- tokens

    def issue(self) -> ResponseReturnValue:
        try:
            auth = AuthBody(unknown=EXCLUDE).load(Parser().load_json(request, AuthBody()) or {})["auth"]
        except ValidationError as e:
            refuse_invalid(e.messages)
        user, until = self._who(auth["identity"])
        scope = auth.get("scope")
        project = self._scoped(user, _project_scope(scope)) if isinstance(scope, dict) and "project" in scope else None
        if scope is None:
            project = user.project  # as Keystone does for a user with a default project
        sealed, token = self._tokens.issue(user, project, until)
        return reply({"token": self._view(token)}, 201, {"X-Subject-Token": sealed, "Vary": "X-Auth-Token"})

    def validate(self) -> ResponseReturnValue:
        self._caller()
        token = self._tokens.open(request.headers.get("X-Subject-Token", ""))
        if token is None:
            raise NotFound("This is not a recognized token.")
        return reply({"token": self._view(token)}, 200, {"X-Subject-Token": request.headers["X-Subject-Token"]})

    def revoke(self) -> ResponseReturnValue:
        """Tolerated: tokens are not kept, they end by themselves."""
        self._caller()
        return empty(204)

    # -- what the caller may use

    def catalog(self) -> ResponseReturnValue:
        token = self._caller()
        if token.project is None:
            raise Forbidden("The token is not scoped to a project.")
        return reply({"catalog": self._catalog(token.project), "links": _self("/v3/auth/catalog")})

    def own_projects(self) -> ResponseReturnValue:
        return self._projects_of(self._caller(), "/v3/auth/projects")

    def domains(self) -> ResponseReturnValue:
        self._caller()
        return reply({"domains": [], "links": _self("/v3/auth/domains")})

    def projects(self) -> ResponseReturnValue:
        """All of them for an administrator, who sets their quotas by name."""
        token = self._caller()
        visible = [p for p in self._visible(token) if request.args.get("name") in (None, p.name)]
        return reply({"projects": [_project(p) for p in visible], "links": _self("/v3/projects")})

    def project(self, project_id: str) -> ResponseReturnValue:
        for project in self._visible(self._caller()):
            if project.id == project_id:
                return reply({"project": _project(project)})
        raise NotFound("Could not find the project.")

    def user(self, user_id: str) -> ResponseReturnValue:
        token = self._caller()
        if user_id != token.user.id:
            raise NotFound("Could not find the user.")
        shown = {"id": token.user.id, "name": token.user.name, "domain_id": DOMAIN["id"], "enabled": True}
        return reply({"user": {**shown, "links": _self(f"/v3/users/{user_id}")}})

    def user_projects(self, user_id: str) -> ResponseReturnValue:
        token = self._caller()
        if user_id != token.user.id:
            raise Forbidden("Only your own projects are shown.")
        return self._projects_of(token, f"/v3/users/{user_id}/projects")

    # -- inside

    def _who(self, identity: dict[str, Any]) -> tuple[User, float | None]:
        [method] = identity["methods"]
        if method == "token":
            token = self._tokens.open(identity.get("token", {}).get("id", ""))
            if token is None:
                raise Unauthorized(BAD_LOGIN)
            return token.user, token.expires_at.timestamp()
        given = identity.get("password", {}).get("user", {})
        user = self._tokens.directory.authenticate(given.get("id") or given.get("name") or "", given.get("password", ""))
        if user is None or not _our_domain(given):
            raise Unauthorized(BAD_LOGIN)
        return user, None

    def _scoped(self, user: User, wanted: dict[str, Any]) -> Project:
        named = "name" in wanted and wanted["name"] == user.project.name and _our_domain(wanted)
        if wanted.get("id") == user.project.id or named:
            return user.project
        raise Unauthorized("The user has no role in that project.")

    def _caller(self) -> Token:
        token = self._tokens.open(request.headers.get("X-Auth-Token", ""))
        if token is None:
            raise Unauthorized(BAD_LOGIN, {"WWW-Authenticate": f'Keystone uri="{base_url()}{PATH}/v3"'})
        return token

    def _visible(self, token: Token) -> list[Project]:
        everything = list(self._tokens.directory.projects().values())
        return everything if "admin" in token.user.roles else [token.user.project]

    def _projects_of(self, token: Token, path: str) -> ResponseReturnValue:
        return reply({"projects": [_project(token.user.project)], "links": _self(path)})

    def _view(self, token: Token) -> dict[str, Any]:
        view: dict[str, Any] = {
            "methods": ["password"],
            "user": {"id": token.user.id, "name": token.user.name, "domain": DOMAIN, "password_expires_at": None},
            "audit_ids": [token.audit_id],
            "issued_at": _moment(token.issued_at),
            "expires_at": _moment(token.expires_at),
        }
        if token.project:
            view["project"] = {"id": token.project.id, "name": token.project.name, "domain": DOMAIN}
            view["is_domain"] = False
            view["roles"] = [{"id": role, "name": role} for role in token.user.roles]
            view["catalog"] = self._catalog(token.project)
        return view

    def _catalog(self, project: Project) -> list[dict[str, Any]]:
        return [
            self._entry("database", "coffer", f"{base_url()}/v1.0/{project.id}"),
            self._entry("messaging", "coffer-messaging", f"{base_url()}/messaging"),
            self._entry("identity", "keystone", f"{base_url()}{PATH}/v3"),
        ]

    def _entry(self, kind: str, name: str, url: str) -> dict[str, Any]:
        endpoints = [
            {"id": f"{kind}-{interface}", "interface": interface, "region": self._region, "region_id": self._region, "url": url}
            for interface in ("public", "internal", "admin")
        ]
        return {"id": kind, "type": kind, "name": name, "endpoints": endpoints}


def _project_scope(scope: dict[str, Any]) -> dict[str, Any]:
    try:
        wanted: dict[str, Any] = Scope(unknown=EXCLUDE).load(scope)["project"]
    except ValidationError as e:
        refuse_invalid({"auth": {"scope": e.messages}})
    return wanted


def _our_domain(owned: dict[str, Any]) -> bool:
    domain = owned.get("domain", DOMAIN)
    return domain.get("id") == DOMAIN["id"] or str(domain.get("name", "")).casefold() == DOMAIN["name"].casefold()


def _version() -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base_url()}{PATH}/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


def _project(project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "description": "",
        "domain_id": DOMAIN["id"],
        "parent_id": DOMAIN["id"],
        "enabled": True,
        "is_domain": False,
        "tags": [],
        "options": {},
        "links": _self(f"/v3/projects/{project.id}"),
    }


def _self(path: str) -> dict[str, Any]:
    return {"self": f"{base_url()}{PATH}{path}", "previous": None, "next": None}


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
