"""/v2/queues/{queue}/messages"""

from typing import Any

from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue

from api.errors import BadRequest, NotFound
from api.messaging import reading, views
from api.messaging.faults import InvalidBody
from api.messaging.parts import client, messaging, parts, project
from api.replies import empty, reply
from api.routes import policy
from messaging.values import Draft, Message, Page
from telemetry.reports import is_routine

blueprint = Blueprint("messages", __name__, url_prefix="/queues/<queue>/messages")


@blueprint.post("")
@policy("messages:create")
def post(queue: str) -> ResponseReturnValue:
    """A signed request never makes a queue: what was deleted stays deleted.  A guest whose URL is half through is given its next one."""
    given, held, whose = reading.fields(required=("messages",), strict=False)["messages"], parts(), project()
    if not isinstance(given, list) or not given:
        raise InvalidBody("messages must be an array with at least one message.")
    drafts = [_draft(one) for one in given]
    size = request.content_length or 0
    ids = held.messaging.messages.post(whose, queue, drafts, client(), size=size, create=not g.signed)
    # Not for heartbeats of guests: to hear of each would cost whoever drains them more than all the rest.
    if not (held.urls.is_guests(whose, queue) and all(is_routine(draft.body) for draft in drafts)):
        held.waiters.ring(whose, queue)
    body: dict[str, Any] = {"resources": [views.message_path(queue, id) for id in ids]}
    if g.signed and (post_to := held.urls.next(whose, queue, g.signed_until)):
        body["post_to"] = post_to
    answer = reply(body, 201)
    answer.headers["Location"] = f"{views.queue_path(queue)}/messages?ids={','.join(ids)}"
    return answer


@blueprint.get("")
@policy("messages:get_all")
def index(queue: str) -> ResponseReturnValue:
    ids = reading.several("ids")
    if ids is not None:
        return _named(queue, ids)
    limit, marker = reading.page_limit(), reading.marker()
    shown = {name: reading.yes(name) for name in ("echo", "include_claimed", "include_delayed")}

    def look() -> Page[Message] | None:
        page = messaging().messages.list(project(), queue, marker, limit, client=client(), **shown)
        return page if page.items else None

    page = parts().waiters.until(project(), queue, look, reading.seconds_to_wait()) or Page((), None)
    path = f"{views.queue_path(queue)}/messages"
    return reply(
        {
            "messages": [views.message(row, queue) for row in page.items],
            "links": views.next_link(path, page.marker, limit, **shown),
        }
    )


@blueprint.delete("")
@policy("messages:delete_all")
def delete_many(queue: str) -> ResponseReturnValue:
    ids, popping = reading.several("ids"), "pop" in request.args
    if (ids is not None) == popping:
        raise BadRequest("Name either ids or pop.")
    if ids is not None:
        messaging().messages.delete_many(project(), queue, ids, reading.several("claim_ids"))
        return empty(204)
    count = reading.number("pop", 1, parts().options.max_page_size, 1)
    return reply({"messages": [views.popped(row) for row in messaging().messages.pop(project(), queue, count)]})


@blueprint.get("/<message_id>")
@policy("messages:get")
def show(queue: str, message_id: str) -> ResponseReturnValue:
    return reply(views.message(messaging().messages.get(project(), queue, message_id), queue))


@blueprint.delete("/<message_id>")
@policy("messages:delete")
def delete(queue: str, message_id: str) -> ResponseReturnValue:
    messaging().messages.delete(project(), queue, message_id, request.args.get("claim_id") or None)
    return empty(204)


def _named(queue: str, ids: list[str]) -> ResponseReturnValue:
    found = messaging().messages.get_many(project(), queue, ids)
    if not found:
        raise NotFound("None of these messages exists.")
    return reply({"messages": [views.message(row, queue) for row in found]})


def _draft(given: Any) -> Draft:
    """What else a message has is left out."""
    if not isinstance(given, dict) or "body" not in given:
        raise InvalidBody("Every message is an object with a body.")
    for name in ("ttl", "delay"):
        if name in given and (isinstance(given[name], bool) or not isinstance(given[name], int)):
            raise InvalidBody(f"The {name} of a message must be an integer.")
    return Draft(given["body"], given.get("ttl"), given.get("delay"))
