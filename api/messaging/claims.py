"""/v2/queues/{queue}/claims"""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from api.messaging import reading, views
from api.messaging.faults import InvalidBody
from api.messaging.parts import messaging, parts, project
from api.replies import empty, reply
from api.routes import policy
from messaging.values import Claim

TTL, GRACE = 300, 60

blueprint = Blueprint("claims", __name__, url_prefix="/queues/<queue>/claims")


@blueprint.post("")
@policy("claims:create")
def create(queue: str) -> ResponseReturnValue:
    limit, (ttl, grace) = reading.page_limit(), _terms()

    def look() -> Claim | None:
        return messaging().claims.create(project(), queue, ttl, grace, limit)

    claim = parts().waiters.until(project(), queue, look, reading.seconds_to_wait())
    if claim is None:
        return empty(204)
    answer = reply({"messages": views.claimed(claim, queue)}, 201)
    answer.headers["Location"] = views.claim_path(queue, claim.id)
    return answer


@blueprint.get("/<claim_id>")
@policy("claims:get")
def show(queue: str, claim_id: str) -> ResponseReturnValue:
    return reply(views.claim(messaging().claims.get(project(), queue, claim_id), queue))


@blueprint.patch("/<claim_id>")
@policy("claims:update")
def renew(queue: str, claim_id: str) -> ResponseReturnValue:
    messaging().claims.renew(project(), queue, claim_id, *_terms())
    return empty(204)


@blueprint.delete("/<claim_id>")
@policy("claims:delete")
def release(queue: str, claim_id: str) -> ResponseReturnValue:
    messaging().claims.release(project(), queue, claim_id)
    parts().waiters.ring(project(), queue)
    return empty(204)


def _terms() -> tuple[int, int]:
    """A null is as good as nothing: today's client sends it."""
    given = reading.fields(optional=("ttl", "grace"), strict=False)
    terms = {"ttl": TTL, "grace": GRACE, **{name: value for name, value in given.items() if value is not None}}
    for name, value in terms.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidBody(f"The {name} of a claim must be an integer.")
    return terms["ttl"], terms["grace"]
