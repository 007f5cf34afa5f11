from api.policies.base import ADMIN, MANAGEMENT, OWNER, rule

RULES = (
    rule("quota:show", OWNER, "Show the quotas of one's own project.", "GET", "/mgmt/quotas/{project}", MANAGEMENT),
    rule("quota:show_any", ADMIN, "Show the quotas of any project.", "GET", "/mgmt/quotas/{project}", MANAGEMENT),
    rule("quota:update", ADMIN, "Change the quotas of a project.", "PUT", "/mgmt/quotas/{project}", MANAGEMENT),
)
