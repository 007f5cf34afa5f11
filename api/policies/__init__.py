"""Who may do what: oslo.policy rules under Trove's names, overridable by [auth] policy_file."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from oslo_config.cfg import ConfigOpts
from oslo_policy import policy

from api.errors import Forbidden
from api.policies import base, catalog, events, extensions, instances, messaging, operations, quotas

if TYPE_CHECKING:
    from api.context import Context

RULES: tuple[policy.RuleDefault, ...] = (
    *base.RULES,
    *instances.RULES,
    *extensions.RULES,
    *catalog.RULES,
    *quotas.RULES,
    *operations.RULES,
    *events.RULES,
    *messaging.RULES,
)

OF_PROJECTS = frozenset(rule.name for rule in RULES if rule.scope_types == base.PROJECT)


def list_rules() -> tuple[policy.RuleDefault, ...]:
    """For oslopolicy-sample-generator."""
    return RULES


class Policies:
    def __init__(self, conf: ConfigOpts) -> None:
        self._enforcer = policy.Enforcer(conf, policy_file=conf.auth.policy_file or None)
        self._enforcer.register_defaults(RULES)
        self._allowed: Callable[[str, str, str, tuple[str, ...], bool], bool] = self._decide
        if not conf.auth.policy_file:
            # The defaults alone never change: no file is looked for, and no decision is made twice.
            self._enforcer.set_rules({rule.name: rule.check for rule in RULES}, use_conf=False)
            self._allowed = lru_cache(10_000)(self._decide)

    def require(self, name: str, who: "Context") -> None:
        """Raises Forbidden unless `who` may do that in the own project; with a token of the system, in the one that was named."""
        if who.system and name in OF_PROJECTS:
            raise Forbidden(f"Policy doesn't allow {name} with a token of the system: use one of the project.")
        if not self._allowed(name, who.project_id, who.user_id, who.roles, who.system):
            raise Forbidden(f"Policy doesn't allow {name} to be performed.")

    def is_admin(self, roles: tuple[str, ...]) -> bool:
        return self._allowed("context_is_admin", "", "", roles, False)

    def _decide(self, name: str, project_id: str, user_id: str, roles: tuple[str, ...], system: bool) -> bool:
        scope = {"system_scope": "all"} if system else {"project_id": project_id}
        credentials = {"user_id": user_id, "roles": list(roles), **scope}
        return bool(self._enforcer.authorize(name, {"tenant": project_id}, credentials))
