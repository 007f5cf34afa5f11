"""What a request handler needs: who asks, and the service's parts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import current_app, g, request
from oslo_config.cfg import ConfigOpts

from api.operations import Caller, Operations
from clouds.ports import Tenants
from models import Database
from security.vault import Vault

if TYPE_CHECKING:
    from api.auth import TokenChecker
    from api.policies import Policies

EXTENSION = "coffer"
T = TypeVar("T")


@dataclass(frozen=True)
class Services:
    conf: ConfigOpts
    database: Database
    vault: Vault
    operations: Operations
    policies: "Policies"
    tokens: "TokenChecker"
    tenants: Tenants | None = None
    """What tenants see of the cloud; None where they have no networks of their own."""


@dataclass(frozen=True)
class Context:
    """Who asks, as the token says.  `system`: a token of the whole deployment, which speaks of the path's project."""

    user_id: str
    project_id: str
    roles: tuple[str, ...]
    request_id: str
    is_admin: bool
    system: bool = False

    @property
    def caller(self) -> Caller:
        return Caller(self.project_id, self.user_id, self.request_id)


def behind(proxy: T) -> T:
    """What stands behind `request` or `g` for the time of this request.  Each look through them costs a microsecond or two."""
    real: Any = proxy
    return cast(T, real._get_current_object())


def services() -> Services:
    return cast(Services, current_app.extensions[EXTENSION])


def context() -> Context:
    return cast(Context, g.context)


def base_url() -> str:
    """Scheme, host and port that links begin with, as the client named them; no slash at the end."""
    return str(services().conf.api.public_endpoint or request.host_url).rstrip("/")
