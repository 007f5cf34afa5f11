from api.policies.base import OWNER, rule

DATABASES = "/instances/{instance_id}/databases"
USERS = "/instances/{instance_id}/users"
ROOT = "/instances/{instance_id}/root"
GRANTS = f"{USERS}/{{user}}/databases"

RULES = (
    rule("instance:extension:database:index", OWNER, "List databases.", "GET", DATABASES),
    rule("instance:extension:database:create", OWNER, "Create databases.", "POST", DATABASES),
    rule("instance:extension:database:show", OWNER, "Show a database.", "GET", f"{DATABASES}/{{name}}"),
    rule("instance:extension:database:delete", OWNER, "Delete a database.", "DELETE", f"{DATABASES}/{{name}}"),
    rule("instance:extension:user:index", OWNER, "List users.", "GET", USERS),
    rule("instance:extension:user:create", OWNER, "Create users.", "POST", USERS),
    rule("instance:extension:user:update_all", OWNER, "Change passwords of users.", "PUT", USERS),
    rule("instance:extension:user:show", OWNER, "Show a user.", "GET", f"{USERS}/{{user}}"),
    rule("instance:extension:user:update", OWNER, "Change a user.", "PUT", f"{USERS}/{{user}}"),
    rule("instance:extension:user:delete", OWNER, "Delete a user.", "DELETE", f"{USERS}/{{user}}"),
    rule("instance:extension:user_access:index", OWNER, "List the databases a user may use.", "GET", GRANTS),
    rule("instance:extension:user_access:update", OWNER, "Let a user use databases.", "PUT", GRANTS),
    rule("instance:extension:user_access:delete", OWNER, "Stop a user from using a database.", "DELETE", f"{GRANTS}/{{name}}"),
    rule("instance:extension:root:index", OWNER, "Show whether root was ever enabled.", "GET", ROOT),
    rule("instance:extension:root:create", OWNER, "Enable root.", "POST", ROOT),
    rule("instance:extension:root:delete", OWNER, "Disable root.", "DELETE", ROOT),
)
