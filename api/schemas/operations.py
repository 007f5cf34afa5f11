"""Bodies of /operations."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, pre_load, validate

from api.schemas.common import Link, PageLinks, PageQuery, Text
from models import OperationState


class OperationQuery(PageQuery):
    instance_id = Text(validate=validate.Length(1, 36))
    state = Text(validate=validate.OneOf([state.value for state in OperationState]))


class OperationAction(Schema):
    """Exactly one of these."""

    retry = fields.Dict(allow_none=True)
    cancel = fields.Dict(allow_none=True)

    @pre_load
    def _one(self, data: Any, **_: Any) -> Any:
        if isinstance(data, dict) and len(data) != 1:
            raise ValidationError("Name exactly one action of: retry, cancel.")
        return data


class OperationError(Schema):
    type = fields.String(required=True)
    message = fields.String(required=True)


class Operation(Schema):
    id = fields.String(required=True)
    kind = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf([state.value for state in OperationState]))
    instance_id = fields.String(required=True)
    project_id = fields.String(required=True)
    user_id = fields.String(required=True)
    request_id = fields.String(required=True)
    retry_of = fields.String(required=True, allow_none=True)
    cancellable = fields.Boolean(required=True)
    cancel_requested = fields.Boolean(required=True)
    error = fields.Nested(OperationError, required=True, allow_none=True)
    created = fields.String(required=True)
    started = fields.String(required=True, allow_none=True)
    finished = fields.String(required=True, allow_none=True)
    workflow_id = fields.String(required=True)
    links = fields.List(fields.Nested(Link), required=True)


class Step(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    state = fields.String(required=True)
    attempts = fields.Integer(required=True)
    progress = fields.String(required=True)
    error = fields.String(required=True)
    started = fields.String(required=True)
    finished = fields.String(required=True, allow_none=True)


class OperationWithSteps(Operation):
    steps = fields.List(fields.Nested(Step), required=True)


class OperationPage(PageLinks):
    operations = fields.List(fields.Nested(Operation), required=True)


class OperationBody(Schema):
    operation = fields.Nested(OperationWithSteps, required=True)
