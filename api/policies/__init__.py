"""Who may do what: oslo.policy rules under Trove's names, overridable by [auth] policy_file."""

from collections.abc import Iterable
from typing import Any

from oslo_config.cfg import ConfigOpts
from oslo_policy import policy

from api.policies import base, catalog, extensions, instances, operations, quotas

RULES: tuple[policy.RuleDefault, ...] = (
    *base.RULES,
    *instances.RULES,
    *extensions.RULES,
    *catalog.RULES,
    *quotas.RULES,
    *operations.RULES,
)


def list_rules() -> tuple[policy.RuleDefault, ...]:
    """For oslopolicy-sample-generator."""
    return RULES


class Policies:
    def __init__(self, conf: ConfigOpts) -> None:
        self._enforcer = policy.Enforcer(conf, policy_file=conf.auth.policy_file or None)
        self._enforcer.register_defaults(RULES)
        if not conf.auth.policy_file:
            # The defaults alone: no file is looked for at every request.
            self._enforcer.set_rules({rule.name: rule.check for rule in RULES}, use_conf=False)

    def require(self, name: str, who: Any) -> None:
        """Raises PolicyNotAuthorized.  `who` has project_id, user_id and roles."""
        credentials = {"project_id": who.project_id, "user_id": who.user_id, "roles": list(who.roles)}
        self._enforcer.authorize(name, {"tenant": who.project_id}, credentials, do_raise=True)

    def is_admin(self, roles: Iterable[str]) -> bool:
        return bool(self._enforcer.enforce("context_is_admin", {}, {"roles": list(roles)}))
