"""What every request to messaging passes first: whose it is, by token or by signed URL, and whether its headers are in order."""

import re
from collections.abc import Mapping

from flask import current_app, g, request
from werkzeug.exceptions import MethodNotAllowed, NotAcceptable

from api.auth import context_of, granted
from api.context import Context, behind
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
    environ = request.environ
    if any(name in environ for name in SIGNED):
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
    asked, kept, held = behind(request), behind(g), parts()
    environ = asked.environ
    try:
        if any(name in environ for name in OVERRIDES) or not set(asked.args) <= SIGNED_QUERY:
            raise BadSignature
        shown = _shown(environ)
        held.signer.verify(shown, asked.method, _path_as_sent(environ, asked.path), epoch=held.options.signed_url_epoch)
    except BadSignature:
        raise NotFound("The resource could not be found.") from None
    for name in [name for name in environ if name.startswith("HTTP_X_") and IDENTITY.match(name)]:
        del environ[name]
    kept.context = Context("signed-url", shown.project, (), kept.request_id, is_admin=False)
    kept.signed, kept.signed_until = True, shown.expires


def _shown(environ: Mapping[str, str]) -> SignedUrl:
    signature, paths, methods, expires = (environ.get(name, "") for name in SIGNED)
    project = environ.get("HTTP_X_PROJECT_ID", "")
    return SignedUrl(tuple(paths.split(",")), tuple(methods.split(",")), project, expires, signature)


def _path_as_sent(environ: Mapping[str, str], routed: str) -> str:
    """Without anything decoded or normalised; the empty text when it is not what routing sees."""
    sent = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "").partition("?")[0]
    return sent.removeprefix(MOUNT) if sent == routed else ""


def _check_headers() -> None:
    asked = behind(request)
    if asked.method == "HEAD" and str(asked.endpoint).rpartition(".")[2] not in HEADED:
        raise MethodNotAllowed
    if asked.accept_mimetypes and not asked.accept_mimetypes["application/json"]:
        raise NotAcceptable("The answers of this service are application/json.")
    if asked.mimetype == "application/x-www-form-urlencoded":
        raise BadRequest("Send the body as JSON.")
    given = asked.headers.get("Client-ID", "").lower()
    if not CLIENT_ID.fullmatch(given):
        raise BadRequest("The header Client-ID must be a UUID.")
    g.client_id = given.replace("-", "")
