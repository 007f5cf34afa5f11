from api.policies.base import ANYONE, OWNER, rule

VERSIONS = "/datastores/{datastore}/versions"

RULES = (
    rule("datastore:index", ANYONE, "List datastores.", "GET", "/datastores"),
    rule("datastore:show", ANYONE, "Show a datastore.", "GET", "/datastores/{datastore}"),
    rule("datastore:version_index", ANYONE, "List versions of a datastore.", "GET", VERSIONS),
    rule("datastore:version_show", ANYONE, "Show a version.", "GET", f"{VERSIONS}/{{version}}"),
    rule("datastore:version_show_by_uuid", ANYONE, "Show a version by its id.", "GET", "/datastores/versions/{version}"),
    rule("datastore:list_associated_flavors", ANYONE, "List flavors of a version.", "GET", f"{VERSIONS}/{{version}}/flavors"),
    rule("flavor:index", ANYONE, "List flavors.", "GET", "/flavors"),
    rule("flavor:show", ANYONE, "Show a flavor.", "GET", "/flavors/{flavor_id}"),
    rule("limits:index", OWNER, "Show limits.", "GET", "/limits"),
)
