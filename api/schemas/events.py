"""Bodies of /event-subscriptions."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates

from api.schemas.common import Link, PageLinks, Text, Whole
from messaging.names import MESSAGE_TTL
from models.event_types import TYPES, unknown

TYPES_HELP = f"What to be told of; left out or null: everything. Known are {', '.join(TYPES)}; `instance.*` is all that begin so."
QUEUE_HELP = "A queue of the project: 1 to 64 letters, digits, underscores, dots and hyphens. It is made if it is not there."


def event_types(**kwargs: Any) -> "fields.List[Any]":
    return fields.List(
        Text(validate=validate.Length(1, 64)),
        allow_none=True,
        validate=validate.Length(1, 64),
        metadata={"description": TYPES_HELP},
        **kwargs,
    )


class TypesSchema(Schema):
    @validates("types")
    def _known(self, types: list[str] | None, **_: Any) -> None:
        if types and unknown(types):
            raise ValidationError(f"Has a type that is not known. Known are {', '.join(TYPES)}, and beginnings with `.*`.")


class NewSubscription(TypesSchema):
    queue = Text(required=True, validate=validate.Length(1, 64), metadata={"description": QUEUE_HELP})
    flavor = Text(
        allow_none=True,
        load_default=None,
        validate=validate.Length(1, 64),
        metadata={"description": "Flavor of the queue; left out or null: none."},
    )
    instance_id = Text(
        allow_none=True,
        load_default=None,
        validate=validate.Length(1, 36),
        metadata={"description": "Only of this instance; left out or null: of all of the project."},
    )
    types = event_types(load_default=None)
    ttl = Whole(
        load_default=MESSAGE_TTL.most,
        validate=validate.Range(MESSAGE_TTL.least, MESSAGE_TTL.most),
        metadata={"description": "Seconds that a message stays in the queue."},
    )


class NewSubscriptionBody(Schema):
    event_subscription = fields.Nested(NewSubscription, required=True)


class SubscriptionChange(TypesSchema):
    types = event_types(required=True)


class SubscriptionChangeBody(Schema):
    event_subscription = fields.Nested(SubscriptionChange, required=True)


class Subscription(Schema):
    id = fields.String(required=True)
    project_id = fields.String(required=True)
    user_id = fields.String(required=True)
    queue = fields.String(required=True)
    flavor = fields.String(required=True, allow_none=True)
    instance_id = fields.String(required=True, allow_none=True)
    types = fields.List(fields.String(), required=True, allow_none=True)
    ttl = fields.Integer(required=True)
    status = fields.String(required=True, validate=validate.OneOf(["ACTIVE", "WAITING"]))
    reason = fields.String(required=True, allow_none=True, metadata={"description": "Why events wait."})
    retry_at = fields.String(required=True, allow_none=True, metadata={"description": "When it is tried again."})
    dropped = fields.Integer(required=True, metadata={"description": "Events that were given up, as too many waited."})
    created = fields.String(required=True)
    links = fields.List(fields.Nested(Link), required=True)


class SubscriptionWithBacklog(Subscription):
    waiting = fields.Integer(required=True, metadata={"description": "Events that are not in the queue yet."})


class SubscriptionPage(PageLinks):
    event_subscriptions = fields.List(fields.Nested(Subscription), required=True)


class SubscriptionBody(Schema):
    event_subscription = fields.Nested(SubscriptionWithBacklog, required=True)
