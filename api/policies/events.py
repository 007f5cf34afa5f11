from api.policies.base import OWNER, rule

ALL, ONE = "/event-subscriptions", "/event-subscriptions/{subscription_id}"

RULES = (
    rule("event_subscription:create", OWNER, "Subscribe to events.", "POST", ALL),
    rule("event_subscription:index", OWNER, "List subscriptions to events.", "GET", ALL),
    rule("event_subscription:show", OWNER, "Show a subscription to events.", "GET", ONE),
    rule("event_subscription:update", OWNER, "Change what a subscription wants.", "PATCH", ONE),
    rule("event_subscription:delete", OWNER, "End a subscription to events.", "DELETE", ONE),
)
