"""From X-Auth-Token to a Context: who asks, and whether the path is theirs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from flask import g, request

from api.context import Context, services
from api.errors import Forbidden, Unauthorized

PROTECTED = "/v1.0/"
OPEN = frozenset({"/v1.0/"})


@dataclass(frozen=True)
class Grant:
    """What a valid token stands for.  `system`: its scope is the whole deployment, and no project."""

    user_id: str
    project_id: str
    roles: tuple[str, ...]
    system: bool = False


class TokenChecker(Protocol):
    def check(self, environ: Mapping[str, Any]) -> Grant | None:
        """The grant of a request (WSGI), or None when its token is missing, forged, expired or of nobody.

        Raises ServiceUnavailable while nobody can tell.
        """

    def identity_url(self) -> str:
        """Where a client gets a token."""


def authenticate() -> None:
    """Every path below /v1.0/ needs a token, the unknown ones too."""
    path = request.path
    if path.startswith(PROTECTED) and path not in OPEN:
        g.context = context_of(granted())


def granted() -> Grant:
    """What the request's token stands for.  Raises Unauthorized, or ServiceUnavailable while nobody can tell."""
    tokens = services().tokens
    grant = tokens.check(request.environ)
    if grant is None:
        raise Unauthorized(
            "The request you have made requires authentication.", {"WWW-Authenticate": f'Keystone uri="{tokens.identity_url()}"'}
        )
    return grant


def context_of(grant: Grant) -> Context:
    is_admin = services().policies.is_admin(grant.roles)
    return Context(grant.user_id, grant.project_id, grant.roles, g.request_id, is_admin, grant.system)


def check_project() -> None:
    """The project in the path is the token's, for administrators too; a token of the system speaks of the path's project."""
    if "context" not in g:
        return
    project, below, _ = request.path[len(PROTECTED) :].partition("/")
    if g.context.system and project and below:
        g.context = replace(g.context, project_id=project)
    if project != g.context.project_id or not below:
        raise Forbidden("Access was denied to this resource.")
