"""All of messaging as one blueprint, to be registered below each root."""

from flask import Blueprint, Flask

from api.messaging import admission, claims, messages, pools, queues, service


def register(app: Flask) -> None:
    for prefix, name in (("/v2", "messaging"), ("/messaging/v2", "messaging_mounted")):
        root = Blueprint(name, __name__, url_prefix=prefix)
        root.before_request(admission.admit)
        for part in (service.blueprint, queues.blueprint, messages.blueprint, claims.blueprint, pools.pools, pools.flavors):
            root.register_blueprint(part)
        app.register_blueprint(root)
    app.register_blueprint(service.versions)
