from api.policies.base import OWNER, rule

RULES = (
    rule("operation:index", OWNER, "List operations.", "GET", "/operations"),
    rule("operation:show", OWNER, "Show an operation.", "GET", "/operations/{operation_id}"),
    rule("operation:retry", OWNER, "Try an operation again.", "POST", "/operations/{operation_id}/action (retry)"),
    rule("operation:cancel", OWNER, "Take an operation back.", "POST", "/operations/{operation_id}/action (cancel)"),
)
