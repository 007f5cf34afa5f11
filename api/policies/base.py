"""Rules that others are made of."""

from oslo_policy import policy

ADMIN = "rule:admin"
OWNER = "rule:admin_or_owner"
ANYONE = ""

PROJECT = ["project"]
MANAGEMENT = ["system", "project"]
"""What those who run the deployment do, and so may do with a token of the system."""

RULES = (
    policy.RuleDefault("context_is_admin", "role:admin", description="Who counts as an administrator."),
    policy.RuleDefault("admin", "rule:context_is_admin", description="Administrators only."),
    policy.RuleDefault(
        "admin_or_owner", "rule:admin or project_id:%(tenant)s", description="Members of the project, and administrators."
    ),
)


def rule(
    name: str, check: str, description: str, method: str, path: str, scope: list[str] = PROJECT
) -> policy.DocumentedRuleDefault:
    path = f"/v1.0/{{project_id}}{path}"
    return policy.DocumentedRuleDefault(name, check, description, [{"method": method, "path": path}], scope_types=scope)
