from api.policies.base import ANYONE, MANAGEMENT, OWNER, rule

VERSIONS = "/datastores/{datastore}/versions"

RULES = (
    rule("datastore:index", ANYONE, "List datastores.", "GET", "/datastores", MANAGEMENT),
    rule("datastore:show", ANYONE, "Show a datastore.", "GET", "/datastores/{datastore}", MANAGEMENT),
    rule("datastore:version_index", ANYONE, "List versions of a datastore.", "GET", VERSIONS, MANAGEMENT),
    rule("datastore:version_show", ANYONE, "Show a version.", "GET", f"{VERSIONS}/{{version}}", MANAGEMENT),
    rule(
        "datastore:version_show_by_uuid", ANYONE, "Show a version by its id.", "GET", "/datastores/versions/{version}", MANAGEMENT
    ),
    rule(
        "datastore:list_associated_flavors",
        ANYONE,
        "List flavors of a version.",
        "GET",
        f"{VERSIONS}/{{version}}/flavors",
        MANAGEMENT,
    ),
    rule("flavor:index", ANYONE, "List flavors.", "GET", "/flavors", MANAGEMENT),
    rule("flavor:show", ANYONE, "Show a flavor.", "GET", "/flavors/{flavor_id}", MANAGEMENT),
    rule("limits:index", OWNER, "Show limits.", "GET", "/limits"),
)
