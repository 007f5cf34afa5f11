"""The home document, ping, health, and the versions of /messaging."""

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.context import base_url, services
from api.errors import NotFound, ServiceUnavailable
from api.messaging.parts import messaging
from api.policies.messaging import RULES
from api.replies import empty, reply
from api.routes import policy

versions = Blueprint("messaging_versions", __name__, url_prefix="/messaging")
blueprint = Blueprint("messaging_service", __name__)


@versions.get("", strict_slashes=False)
@versions.get("/")
def list_versions() -> ResponseReturnValue:
    version = {
        "id": "v2.0",
        "status": "CURRENT",
        "updated": "2016-09-16T00:00:00Z",
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.messaging-v2+json"}],
        "links": [{"rel": "self", "href": f"{base_url()}/messaging/v2/"}],
    }
    return reply({"versions": [version]}, 300)


@blueprint.get("")
@blueprint.get("/")
@policy("homedoc:get")
def home() -> ResponseReturnValue:
    answer = reply({"resources": RESOURCES})
    answer.headers["Content-Type"] = "application/json-home"
    answer.headers["Cache-Control"] = "max-age=86400"
    return answer


@blueprint.get("/ping")
@policy("ping:get")
def ping() -> ResponseReturnValue:
    if not _catalogue_answers():
        raise ServiceUnavailable("The service can't reach its database. Try again later.", {"Retry-After": "5"})
    return empty(204)


@blueprint.get("/health")
@policy("health:get")
def health() -> ResponseReturnValue:
    """One look at each store; nothing is written, so it may be asked for as often as one likes."""
    reachable = _catalogue_answers()
    stores = messaging().health() if reachable else {}
    pools = {pool: {"storage_reachable": there, "operation_status": {}} for pool, there in stores.items()}
    return reply({"catalog_reachable": reachable, **pools})


@blueprint.route("/queues/<queue>/subscriptions", methods=["GET", "POST"])
@blueprint.route("/queues/<queue>/subscriptions/<path:rest>", methods=["GET", "PUT", "PATCH", "DELETE"])
@policy("subscription:get")
def subscriptions(queue: str, rest: str = "") -> ResponseReturnValue:
    # Today's client takes a 501 for success.
    raise NotFound("Subscriptions are not supported: claim messages, with wait=60 to be told at once.")


def _catalogue_answers() -> bool:
    try:
        with services().database.read() as s:
            s.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True


def _resources() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for rule in RULES:
        for operation in rule.operations:
            if rule.name.startswith("subscription"):
                continue
            path = str(operation["path"])
            words = [word for word in path.removeprefix("/v2/").split("/") if word and not word.startswith("{")]
            name = "rel/" + ("-".join(words) or "home") + ("-item" if path.endswith("}") else "")
            known = found.setdefault(name, {"href-template": path, "hints": {"allow": [], "formats": {"application/json": {}}}})
            known["hints"]["allow"].append(operation["method"])
    return found


RESOURCES = _resources()
