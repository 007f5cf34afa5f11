"""Who may do what with messages: oslo.policy rules under Zaqar's names."""

from oslo_policy import policy

from api.policies.base import ADMIN, MANAGEMENT, OWNER, PROJECT

Q = "/v2/queues/{queue_name}"
POOL, FLAVOR = "/v2/pools/{pool_name}", "/v2/flavors/{flavor_name}"


def _rule(
    name: str, check: str, description: str, method: str, path: str, scope: list[str] = PROJECT
) -> policy.DocumentedRuleDefault:
    return policy.DocumentedRuleDefault(name, check, description, [{"method": method, "path": path}], scope_types=scope)


RULES = (
    _rule("homedoc:get", OWNER, "Show what there is.", "GET", "/v2/", MANAGEMENT),
    _rule("ping:get", OWNER, "Ask whether the service answers.", "GET", "/v2/ping", MANAGEMENT),
    _rule("health:get", ADMIN, "Ask whether every pool answers.", "GET", "/v2/health", MANAGEMENT),
    _rule("queues:create", OWNER, "Make a queue.", "PUT", Q),
    _rule("queues:get_all", OWNER, "List queues.", "GET", "/v2/queues"),
    _rule("queues:get", OWNER, "Show a queue's metadata.", "GET", Q),
    _rule("queues:update", OWNER, "Change a queue's metadata.", "PATCH", Q),
    _rule("queues:delete", OWNER, "Delete a queue.", "DELETE", Q),
    _rule("queues:stats", OWNER, "Count a queue's messages.", "GET", f"{Q}/stats"),
    _rule("queues:purge", OWNER, "Empty a queue.", "POST", f"{Q}/purge"),
    _rule("queues:share", OWNER, "Sign a URL of a queue.", "POST", f"{Q}/share"),
    _rule("messages:create", OWNER, "Post messages.", "POST", f"{Q}/messages"),
    _rule("messages:get_all", OWNER, "List messages.", "GET", f"{Q}/messages"),
    _rule("messages:get", OWNER, "Show a message.", "GET", f"{Q}/messages/{{message_id}}"),
    _rule("messages:delete", OWNER, "Delete a message.", "DELETE", f"{Q}/messages/{{message_id}}"),
    _rule("messages:delete_all", OWNER, "Delete or pop messages.", "DELETE", f"{Q}/messages"),
    _rule("claims:create", OWNER, "Claim messages.", "POST", f"{Q}/claims"),
    _rule("claims:get", OWNER, "Show a claim.", "GET", f"{Q}/claims/{{claim_id}}"),
    _rule("claims:update", OWNER, "Renew a claim.", "PATCH", f"{Q}/claims/{{claim_id}}"),
    _rule("claims:delete", OWNER, "Release a claim.", "DELETE", f"{Q}/claims/{{claim_id}}"),
    _rule("subscription:get", OWNER, "Subscriptions (not supported).", "GET", f"{Q}/subscriptions"),
    _rule("pools:get_all", ADMIN, "List pools.", "GET", "/v2/pools", MANAGEMENT),
    _rule("pools:create", ADMIN, "Register a pool.", "PUT", POOL, MANAGEMENT),
    _rule("pools:get", ADMIN, "Show a pool.", "GET", POOL, MANAGEMENT),
    _rule("pools:update", ADMIN, "Change a pool.", "PATCH", POOL, MANAGEMENT),
    _rule("pools:delete", ADMIN, "Remove a pool.", "DELETE", POOL, MANAGEMENT),
    _rule("flavors:get_all", OWNER, "List flavors.", "GET", "/v2/flavors", MANAGEMENT),
    _rule("flavors:create", ADMIN, "Make a flavor.", "PUT", FLAVOR, MANAGEMENT),
    _rule("flavors:get", OWNER, "Show a flavor.", "GET", FLAVOR, MANAGEMENT),
    _rule("flavors:update", ADMIN, "Change a flavor.", "PATCH", FLAVOR, MANAGEMENT),
    _rule("flavors:delete", ADMIN, "Delete a flavor.", "DELETE", FLAVOR, MANAGEMENT),
)
