"""Routes with a policy, a schema and a documented answer: flask-smorest behind typed decorators."""

import json
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar, cast

from flask import Request, request
from flask.views import MethodView
from flask_smorest import Blueprint  # type: ignore[import-untyped]
from marshmallow import EXCLUDE, RAISE, Schema, ValidationError
from webargs import core
from webargs.flaskparser import FlaskParser

from api.context import behind, context, services
from api.errors import BadMediaType, BadRequest
from api.schemas.common import FaultBody

F = TypeVar("F", bound=Callable[..., Any])
V = TypeVar("V", bound=type[MethodView])

JSON = "application/json"


class Parser(FlaskParser):
    """Reads a request's JSON strictly and refuses with a message that names the field, never the value."""

    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION = {"json": RAISE, "query": EXCLUDE}  # noqa: RUF012  (typed so by its base)

    def load_json(self, req: Request, schema: Schema) -> Any:
        raw = req.get_data(cache=True)
        if not raw.strip():
            return core.missing
        if req.mimetype != JSON:
            raise BadMediaType(f"Send the body as {JSON}.")
        try:
            return json.loads(raw, parse_constant=_no_constant)
        except (ValueError, RecursionError) as e:
            raise BadRequest("The body is not valid JSON.") from e

    def handle_error(self, error: ValidationError, *_args: Any, **_kwargs: Any) -> NoReturn:
        messages = error.messages_dict
        refuse_invalid(messages.get("json") or messages.get("query") or messages)


class Routes:
    """The routes of one resource, below /v1.0/<project_id> unless told."""

    def __init__(self, name: str, description: str, prefix: str = "/v1.0/<string:project_id>") -> None:
        self.blueprint = Blueprint(name, __name__, url_prefix=prefix, description=description)
        self.blueprint.ARGUMENTS_PARSER = Parser()

    def route(self, path: str) -> Callable[[V], V]:
        return cast(Callable[[V], V], self.blueprint.route(path))

    def body(self, schema: type[Schema], *, required: bool = True) -> Callable[[F], F]:
        """The handler's first argument is the checked body."""
        return cast(Callable[[F], F], self.blueprint.arguments(schema, location="json", required=required))

    def query(self, schema: type[Schema]) -> Callable[[F], F]:
        """The handler's first argument is the checked query string."""
        return cast(Callable[[F], F], self.blueprint.arguments(schema, location="query"))

    def answers(self, status: int, schema: type[Schema] | None = None, *errors: int) -> Callable[[F], F]:
        """What is documented; the handler gives the answer itself.  `errors` besides those that every route has."""

        def decorate(handler: F) -> F:
            documented = self.blueprint.response(status, schema)(handler)
            for code in sorted({401, 403, 404, 503, *errors}):
                documented = self.blueprint.alt_response(code, schema=FaultBody)(documented)
            return cast(F, documented)

        return decorate


def policy(*names: str) -> Callable[[F], F]:
    """The rule that guards a handler.  With several names the handler itself calls `require` once it knows which applies."""

    def mark(handler: F) -> F:
        handler.__dict__["policy"] = names
        return handler

    return mark


def policy_of(endpoint: str | None, method: str, views: dict[str, Any]) -> tuple[str, ...]:
    handler = views.get(endpoint or "")
    if view := getattr(handler, "view_class", None):
        handler = getattr(view, ("get" if method == "HEAD" else method).lower(), None)
    return cast(tuple[str, ...], getattr(handler, "policy", ()))


def require(name: str) -> None:
    """Raises Forbidden unless the caller may do that."""
    services().policies.require(name, context())


def refuse_invalid(messages: Any) -> NoReturn:
    raise BadRequest("Validation error: " + "; ".join(sorted(flatten(messages))))


def flatten(messages: Any, path: str = "") -> Iterator[str]:
    """`{"users": {0: {"password": ["Missing."]}}}` as `users[0].password: Missing.`"""
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from flatten(inner, _joined(path, key))
    else:
        for message in messages if isinstance(messages, list) else [messages]:
            yield f"{path}: {message}" if path else str(message)


def _joined(path: str, key: object) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    name = str(key)
    if name == "_schema":
        return path or "body"
    if len(name) > 64 or not name.replace("_", "").replace("-", "").isalnum():
        name = "(unnamed)"
    return f"{path}.{name}" if path else name


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def refuse_nul() -> None:
    """No name, id or marker has a NUL in it, and some databases can't even be asked for one."""
    asked = behind(request)
    if "\0" in asked.path or (asked.query_string and any("\0" in value for value in asked.args.values())):
        raise BadRequest("The address has a NUL character in it.")
