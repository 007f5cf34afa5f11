"""What every request to messaging passes first: whose it is, by token or by signed URL, and whether its headers are in order."""

import re

from flask import current_app, g, request
from werkzeug.exceptions import MethodNotAllowed, NotAcceptable

from api.auth import context_of, granted
from api.context import Context
from api.errors import BadRequest, Forbidden, NotFound
from api.messaging.parts import parts
from api.routes import policy_of, require
from messaging.errors import BadSignature
from messaging.signing import SignedUrl

CLIENT_ID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")
# Headers by the names that WSGI gives them: every request is asked for these.
SIGNED = ("HTTP_URL_SIGNATURE", "HTTP_URL_PATHS", "HTTP_URL_METHODS", "HTTP_URL_EXPIRES")
OVERRIDES = ("HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD", "HTTP_X_METHOD_OVERRIDE")
IDENTITY = re.compile(
    r"HTTP_X_(?:AUTH_|SUBJECT_|SERVICE_|ROLES|ROLE$|USER|TENANT|DOMAIN|IS_ADMIN|PROJECT_(?!ID$)|IDENTITY_|TRUST)"
)
"""What a token checker in front of us would have said of a caller: a signed request has none of it."""

SIGNED_QUERY = frozenset(
    {"marker", "limit", "echo", "include_claimed", "include_delayed", "ids", "pop", "claim_id", "claim_ids", "wait"}
)
MOUNT = "/messaging"
HEADED = ("ping", "exists")
"""Handlers that answer HEAD; the framework would give it to every GET."""


def admit() -> None:
    """Runs before each handler; a signed request that does not hold is told no more than that nothing is there."""
    if any(name in request.environ for name in SIGNED):
        _by_signature()
    else:
        _by_token()
    _check_headers()
    [rule] = policy_of(request.endpoint, request.method, current_app.view_functions)
    require(rule)


def _by_token() -> None:
    grant = granted()
    if not grant.project_id and not grant.system:
        raise Forbidden("The token is not scoped to a project.")
    g.context = context_of(grant)
    g.signed, g.signed_until = False, ""


def _by_signature() -> None:
    try:
        if any(name in request.environ for name in OVERRIDES) or not set(request.args) <= SIGNED_QUERY:
            raise BadSignature
        shown = _shown()
        parts().signer.verify(shown, request.method, _path_as_sent(), epoch=parts().options.signed_url_epoch)
    except BadSignature:
        raise NotFound("The resource could not be found.") from None
    for name in [name for name in request.environ if IDENTITY.match(name)]:
        del request.environ[name]
    g.context = Context("signed-url", shown.project, (), g.request_id, is_admin=False)
    g.signed, g.signed_until = True, shown.expires


def _shown() -> SignedUrl:
    signature, paths, methods, expires = (request.environ.get(name, "") for name in SIGNED)
    project = request.environ.get("HTTP_X_PROJECT_ID", "")
    return SignedUrl(tuple(paths.split(",")), tuple(methods.split(",")), project, expires, signature)


def _path_as_sent() -> str:
    """Without anything decoded or normalised; the empty text when it is not what routing sees."""
    sent = str(request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI") or "").partition("?")[0]
    return sent.removeprefix(MOUNT) if sent == request.path else ""


def _check_headers() -> None:
    if request.method == "HEAD" and str(request.endpoint).rpartition(".")[2] not in HEADED:
        raise MethodNotAllowed
    if request.accept_mimetypes and not request.accept_mimetypes["application/json"]:
        raise NotAcceptable("The answers of this service are application/json.")
    if request.mimetype == "application/x-www-form-urlencoded":
        raise BadRequest("Send the body as JSON.")
    given = request.headers.get("Client-ID", "").lower()
    if not CLIENT_ID.fullmatch(given):
        raise BadRequest("The header Client-ID must be a UUID.")
    g.client_id = given.replace("-", "")
