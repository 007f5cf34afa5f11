from api.policies.base import MANAGEMENT, OWNER, rule

RULES = (
    rule("operation:index", OWNER, "List operations.", "GET", "/operations", MANAGEMENT),
    rule("operation:show", OWNER, "Show an operation.", "GET", "/operations/{operation_id}", MANAGEMENT),
    rule("operation:retry", OWNER, "Try an operation again.", "POST", "/operations/{operation_id}/action (retry)", MANAGEMENT),
    rule("operation:cancel", OWNER, "Take an operation back.", "POST", "/operations/{operation_id}/action (cancel)", MANAGEMENT),
)
