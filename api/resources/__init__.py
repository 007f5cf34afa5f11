"""All routes below /v1.0/<project_id>."""

from api.resources import datastores, events, extensions, flavors, instances, limits, operations, quotas, users

ROUTES = (
    instances.routes,
    extensions.routes,
    users.routes,
    datastores.routes,
    flavors.routes,
    limits.routes,
    quotas.routes,
    operations.routes,
    events.routes,
)
