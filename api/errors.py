"""Every error leaves as one fault body: `{"<name>": {"code", "message"}}`.  No message repeats a value that the client sent as a secret."""

from collections.abc import Mapping
from typing import ClassVar

import structlog
from flask import Flask, g, request
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from api.messaging import dialect
from api.operations import GuestSilent, NotAllowed
from api.replies import reply
from messaging.errors import MessagingError
from models.quota import QuotaExceeded

log = structlog.get_logger(__name__)

NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    406: "notAcceptable",
    409: "conflict",
    413: "overLimit",
    415: "badMediaType",
    422: "unprocessableEntity",
    500: "instanceFault",
    501: "notImplemented",
    503: "serviceUnavailable",
}
RETRY_SOON = {"Retry-After": "5"}


class Fault(Exception):
    """An answer that refuses; the message says what to do about it."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = ""
    """Where answers have one (messaging): another than the status' own."""

    def __init__(self, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message, self.headers = message, headers or {}


class BadRequest(Fault):
    status = 400


class Unauthorized(Fault):
    status = 401


class Forbidden(Fault):
    status = 403


class NotFound(Fault):
    status = 404


class Conflict(Fault):
    status = 409


class OverLimit(Fault):
    status = 413


class BadMediaType(Fault):
    status = 415


class Unprocessable(Fault):
    status = 422


class NotSupported(Fault):
    status = 501


class ServiceUnavailable(Fault):
    status = 503


def fault_reply(status: int, message: str, headers: Mapping[str, str] | None = None, title: str = "") -> Response:
    if dialect.speaks(request.path):
        return reply(dialect.body(status, message, title), status, headers)
    name = NAMES.get(status) or NAMES[500 if status >= 500 else 400]
    if request.path.startswith("/identity"):
        # The identity speaks as Keystone does.
        return reply({"error": {"code": status, "message": message, "title": name}}, status, headers)
    return reply({name: {"code": status, "message": message}}, status, headers)


def install(app: Flask) -> None:
    app.register_error_handler(Exception, answer_for)
    app.register_error_handler(HTTPException, answer_for)


def answer_for(e: Exception) -> Response:
    """The answer that an exception stands for; what is not foreseen here is a bug and is logged as one."""
    match e:
        case Fault():
            return fault_reply(e.status, e.message, e.headers, e.title)
        case MessagingError():
            return fault_reply(e.status, str(e), RETRY_SOON if e.status == 503 else None)
        case HTTPException():
            return _http(e)
        case QuotaExceeded():
            return fault_reply(413, str(e))
        case NotAllowed():
            return fault_reply(409, str(e))
        case GuestSilent():
            return fault_reply(503, "The instance did not answer in time. Try again later.", RETRY_SOON)
        case OperationalError() | InterfaceError() | PoolExhausted():
            log.error("database unavailable", request_id=g.request_id, reason=type(e).__name__, cause=_cause(e))
            return fault_reply(503, "The service can't reach its database. Try again later.", RETRY_SOON)
    log.exception("unexpected error", request_id=g.request_id, method=request.method, path=request.path)
    return fault_reply(500, f"The server met an unexpected error. Its log has the details under {g.request_id}.")


def _http(e: HTTPException) -> Response:
    status = e.code or 500
    if status == 405 and dialect.tells_methods(request):
        return fault_reply(405, "The resource is there, but not for this method.")
    if status in (404, 405, 308):
        return fault_reply(404, "The resource could not be found.")
    if status == 413:
        return fault_reply(413, "The request's body is too large.")
    return fault_reply(status, e.description or e.name)


def _cause(e: Exception) -> str:
    return type(e.orig).__name__ if isinstance(e, DBAPIError) else ""
