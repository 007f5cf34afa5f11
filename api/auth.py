"""From X-Auth-Token to a Context: who asks, and whether the path is theirs."""

from dataclasses import dataclass
from typing import Protocol

from flask import g, request

from api.context import Context, base_url, services
from api.errors import Forbidden, Unauthorized

PROTECTED = "/v1.0/"
OPEN = frozenset({"/v1.0/"})


@dataclass(frozen=True)
class Grant:
    """What a valid token stands for."""

    user_id: str
    project_id: str
    roles: tuple[str, ...]


class TokenChecker(Protocol):
    identity_path: str

    def check(self, token: str) -> Grant | None:
        """The grant, or None for a token that is forged, expired or of nobody."""


def authenticate() -> None:
    """Every path below /v1.0/ needs a token, the unknown ones too."""
    if not request.path.startswith(PROTECTED) or request.path in OPEN:
        return
    parts = services()
    grant = parts.tokens.check(request.headers.get("X-Auth-Token", ""))
    if grant is None:
        raise Unauthorized(
            "The request you have made requires authentication.",
            {"WWW-Authenticate": f'Keystone uri="{base_url()}{parts.tokens.identity_path}"'},
        )
    g.context = Context(grant.user_id, grant.project_id, grant.roles, g.request_id, is_admin=parts.policies.is_admin(grant.roles))


def check_project() -> None:
    """The project in the path is the token's, for administrators too."""
    if "context" not in g:
        return
    project = request.path[len(PROTECTED) :].partition("/")
    if project[0] != g.context.project_id or not project[1]:
        raise Forbidden("Access was denied to this resource.")
