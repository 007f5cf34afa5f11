"""Signed URLs: whoever holds one may use the named methods on the named paths of one queue until it expires, without a token.

The signature covers project, paths, methods and expiry.  It names the key of the keyring it was made with, so a new key does not void
what is out; what is out is voided by removing its key, or all at once by another `epoch`.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from messaging.errors import BadSignature, InvalidRequest
from messaging.names import check_queue
from security.keyring import Keyring

PURPOSE = "messaging-signed-url"
RESOURCES = ("messages", "claims")
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
FORMAT = "%Y-%m-%dT%H:%M:%S"
_EXPIRES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
_SIGNATURE = re.compile(r"([A-Za-z0-9_-]{1,64})\.([0-9a-f]{64})")
_BELOW = re.compile(r"/[0-9a-f]{1,64}")


@dataclass(frozen=True)
class SignedUrl:
    paths: tuple[str, ...]
    methods: tuple[str, ...]
    project: str
    expires: str
    signature: str

    def headers(self) -> dict[str, str]:
        """What a request has to carry, beside its Client-ID."""
        return {
            "URL-Paths": ",".join(self.paths),
            "URL-Methods": ",".join(self.methods),
            "URL-Expires": self.expires,
            "URL-Signature": self.signature,
            "X-Project-ID": self.project,
        }


class SignedUrls:
    def __init__(self, keyring: Keyring, epoch: str = "") -> None:
        self._keyring, self._epoch = keyring, epoch

    def issue(
        self,
        project: str,
        queue: str,
        expires: datetime,
        resources: Collection[str] = ("messages",),
        methods: Collection[str] = ("GET",),
    ) -> SignedUrl:
        """Raises InvalidRequest (400)."""
        check_queue(project, queue)
        if queue in (".", ".."):
            raise InvalidRequest("Clients shorten the path of a queue of this name; it cannot be shared.")
        if not resources or not set(resources) <= set(RESOURCES):
            raise InvalidRequest(f"The paths that can be shared are {' and '.join(RESOURCES)}.")
        if not methods or not set(methods) <= set(METHODS):
            raise InvalidRequest(f"The methods that can be shared are {', '.join(METHODS)}.")
        if expires <= datetime.now(UTC):
            raise InvalidRequest("The URL would have expired already.")
        paths = tuple(sorted(f"/v2/queues/{queue}/{resource}" for resource in set(resources)))
        until = expires.astimezone(UTC).strftime(FORMAT)
        made = SignedUrl(paths, tuple(sorted(set(methods))), project, until, "")
        key_id = self._keyring.current
        return SignedUrl(paths, made.methods, project, until, f"{key_id}.{self._digest(key_id, made)}")

    def check(self, headers: Mapping[str, str], method: str, path: str) -> str:
        """The project that a request is for; `path` is the request's, as it was sent.  Raises BadSignature (404)."""
        shown = SignedUrl(
            tuple(headers.get("URL-Paths", "").split(",")),
            tuple(headers.get("URL-Methods", "").split(",")),
            headers.get("X-Project-ID", ""),
            headers.get("URL-Expires", ""),
            headers.get("URL-Signature", ""),
        )
        if not (self._holds(shown) and _is_current(shown.expires) and method in shown.methods and _covers(shown.paths, path)):
            raise BadSignature("The resource could not be found.")
        return shown.project

    def _holds(self, shown: SignedUrl) -> bool:
        parts = _SIGNATURE.fullmatch(shown.signature)
        if parts is None:
            return False
        try:
            expected = self._digest(parts[1], shown)
        except KeyError:
            return False
        return hmac.compare_digest(expected, parts[2])

    def _digest(self, key_id: str, signed: SignedUrl) -> str:
        """Raises KeyError when the keyring does not have the key."""
        text = json.dumps([self._epoch, signed.project, sorted(signed.paths), sorted(signed.methods), signed.expires])
        return hmac.new(self._keyring.derive(PURPOSE, key_id), text.encode(), hashlib.sha256).hexdigest()


def expiry(lifetime: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=lifetime)


def _is_current(expires: str) -> bool:
    if not _EXPIRES.fullmatch(expires):
        return False
    return datetime.strptime(expires, FORMAT).replace(tzinfo=UTC) > datetime.now(UTC)


def _covers(paths: Collection[str], path: str) -> bool:
    """The path itself, or one message or claim below it."""
    return any(path == allowed or (path.startswith(f"{allowed}/") and _BELOW.fullmatch(path, len(allowed))) for allowed in paths)
