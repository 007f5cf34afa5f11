"""/v2/queues: queues, their metadata, and what is done to a queue as a whole."""

from datetime import datetime
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from api.errors import BadMediaType
from api.messaging import reading, views
from api.messaging.faults import InvalidBody
from api.messaging.parts import messaging, parts, project
from api.replies import empty, reply
from api.routes import policy
from messaging import metadata
from messaging.errors import QueueNotFound
from messaging.values import MetadataChange

JSON_PATCH = "application/openstack-messaging-v2.0-json-patch"
PURGEABLE = ("messages", "subscriptions")
OUR_QUERY = frozenset({"marker", "limit", "detailed", "name", "with_count"})

blueprint = Blueprint("queues", __name__, url_prefix="/queues")


@blueprint.get("")
@policy("queues:get_all")
def index() -> ResponseReturnValue:
    limit, detailed, with_count = reading.page_limit(), reading.yes("detailed"), reading.yes("with_count")
    name = request.args.get("name") or None
    wanted = {key: value for key, value in request.args.items() if key not in OUR_QUERY}
    found = messaging().queues.list(project(), reading.marker(), limit, name=name, metadata=wanted, with_count=with_count)
    more = {**wanted, "detailed": detailed, "with_count": with_count, "name": name}
    body: dict[str, Any] = {
        "queues": [views.queue(row, detailed) for row in found.page.items],
        "links": views.next_link("/v2/queues", found.page.marker, limit, **more),
    }
    if with_count:
        body["count"] = found.count
    return reply(body)


@blueprint.put("/<queue>")
@policy("queues:create")
def create(queue: str) -> ResponseReturnValue:
    given = reading.document(most=reading.MAX_METADATA)
    made = messaging().queues.put(project(), queue, given)
    answer = empty(201 if made else 204)
    answer.headers["Location"] = views.queue_path(queue)
    return answer


@blueprint.route("/<queue>", methods=["HEAD"])
@policy("queues:get")
def exists(queue: str) -> ResponseReturnValue:
    """Zaqar refuses the method, which its client takes for a yes."""
    messaging().queues.get(project(), queue)
    return empty(204)


@blueprint.get("/<queue>")
@policy("queues:get")
def show(queue: str) -> ResponseReturnValue:
    """A queue that does not exist has the defaults: it would be made by the first post."""
    try:
        found = messaging().queues.get(project(), queue).metadata
    except QueueNotFound:
        found = {}
    return reply(metadata.shown(found))


@blueprint.patch("/<queue>")
@policy("queues:update")
def update(queue: str) -> ResponseReturnValue:
    if request.mimetype != JSON_PATCH:
        raise BadMediaType(f"Send the changes as {JSON_PATCH}.")
    changes = reading.document(most=reading.MAX_METADATA)
    if not isinstance(changes, list):
        raise InvalidBody("The body must be an array of changes.")
    changed = messaging().queues.patch(project(), queue, [_change(one) for one in changes])
    return reply(metadata.shown(changed.metadata))


@blueprint.delete("/<queue>")
@policy("queues:delete")
def delete(queue: str) -> ResponseReturnValue:
    messaging().queues.delete(project(), queue)
    return empty(204)


@blueprint.get("/<queue>/stats")
@policy("queues:stats")
def stats(queue: str) -> ResponseReturnValue:
    return reply(views.stats(messaging().queues.stats(project(), queue), queue))


@blueprint.post("/<queue>/purge")
@policy("queues:purge")
def purge(queue: str) -> ResponseReturnValue:
    kinds = reading.fields(optional=("resource_types",)).get("resource_types") or list(PURGEABLE)
    if not isinstance(kinds, list) or not all(kind in PURGEABLE for kind in kinds):
        raise InvalidBody("resource_types may name messages and subscriptions.")
    if "messages" in kinds:
        messaging().queues.purge(project(), queue)
    return empty(204)


@blueprint.post("/<queue>/share")
@policy("queues:share")
def share(queue: str) -> ResponseReturnValue:
    if not request.content_length:
        raise InvalidBody("The body must be a JSON object with paths, methods and expires, all optional.")
    given = reading.fields(optional=("paths", "methods", "expires"))
    resources = _words(given, "paths", ["messages"])
    methods = _words(given, "methods", ["GET"])
    epoch = parts().options.signed_url_epoch
    made = parts().signer.sign(project(), queue, resources, methods, _expiry(given.get("expires")), epoch=epoch)
    return reply(
        {
            "paths": list(made.paths),
            "methods": list(made.methods),
            "project": made.project,
            "expires": made.expires,
            "signature": made.signature,
        }
    )


def _expiry(given: Any) -> datetime | None:
    try:
        return None if given is None else datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise InvalidBody("expires must be a time such as 2030-01-31T12:00:00, in UTC.") from None


def _words(given: dict[str, Any], name: str, default: list[str]) -> list[str]:
    words = given.get(name, default)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InvalidBody(f"{name} must be an array of strings.")
    return words


def _change(given: Any) -> MetadataChange:
    if not isinstance(given, dict) or not isinstance(given.get("op"), str) or not isinstance(given.get("path"), str):
        raise InvalidBody("Every change has an op and a path.")
    root, _, key = given["path"].partition("/metadata/")
    if root or not key or "/" in key:
        raise InvalidBody("The path of a change is /metadata/<key>.")
    if given["op"] in ("add", "replace") and "value" not in given:
        raise InvalidBody(f"A change that is to {given['op']} has a value.")
    return MetadataChange(given["op"], key.replace("~1", "/").replace("~0", "~"), given.get("value"))
