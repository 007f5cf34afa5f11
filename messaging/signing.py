"""Pre-signed URLs: Zaqar's wire format, held to exact paths, for a bounded time, and revocable.

The signature is the HMAC-SHA256 (hex) of the sorted paths joined by commas, the sorted methods joined by commas, the project and the expiry, these
four joined by a backslash and the letter n.  That is what every Zaqar client computes and sends, so it stays.  What is different:

- A path covers itself and what is below it, compared literally and component by component.
- A signature carries `<key id>-<epoch>-` in front of the hex digits; both choose the HMAC's key.  Two keys are live at a time, so
  `rotated` revokes in two steps what older keys signed; raising a scope's epoch (a number kept by the caller, for instance an instance's
  generation) revokes what was signed for that scope alone.
- There is a longest validity.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from messaging.errors import BadSignature, InvalidRequest
from messaging.names import check_queue
from security.keyring import Keyring

KINDS = ("messages", "claims", "subscriptions")
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
EXPIRES_FORMAT = "%Y-%m-%dT%H:%M:%S"
DEFAULT_VALIDITY = timedelta(days=1)
LONGEST_VALIDITY = timedelta(days=7)
LIVE_KEYS = 2
PURPOSE = "messaging-signed-url"
_KEY_ID = re.compile(r"[A-Za-z0-9]{1,16}")
_PATH = re.compile(r"/v2/queues/(?!\.{1,2}/)[A-Za-z0-9_.-]{1,64}/(?:messages|claims|subscriptions)")
_SIGNATURE = re.compile(r"([A-Za-z0-9]{1,16})-(\d{1,18})-([0-9a-f]{64})")


@dataclass(frozen=True)
class SigningKey:
    id: str
    secret: bytes

    def __post_init__(self) -> None:
        if not _KEY_ID.fullmatch(self.id) or len(self.secret) < 32:
            raise ValueError("A signing key has an id of 1 to 16 letters and digits, and at least 32 bytes.")

    def __repr__(self) -> str:
        return f"SigningKey({self.id})"


@dataclass(frozen=True)
class SignedUrl:
    """What the caller has to send as URL-Paths, URL-Methods, X-Project-ID, URL-Expires and URL-Signature."""

    paths: tuple[str, ...]
    methods: tuple[str, ...]
    project: str
    expires: str
    signature: str


def signer_of(keyring: Keyring, longest: timedelta = LONGEST_VALIDITY) -> "Signer":
    """Whoever signs for this deployment, or checks what was signed, does it with this one.  The newest key of the keyring signs."""
    return Signer([SigningKey(key_id, keyring.derive(PURPOSE, key_id)) for key_id in keyring.ids], longest)


class Signer:
    """`keys`, newest first: the first signs, the first two verify."""

    def __init__(self, keys: Sequence[SigningKey], longest: timedelta = LONGEST_VALIDITY) -> None:
        if not keys or len({key.id for key in keys}) != len(keys):
            raise ValueError("There must be a signing key, and no two of the same id.")
        self._keys = tuple(keys[:LIVE_KEYS])
        self._longest = longest

    def rotated(self, key: SigningKey) -> "Signer":
        """With a new key in front; what the one before the last signed does not hold any more."""
        return Signer([key, *self._keys], self._longest)

    def sign(
        self,
        project: str,
        queue: str,
        kinds: Sequence[str] = ("messages",),
        methods: Sequence[str] = ("GET",),
        expires: datetime | None = None,
        *,
        epoch: int = 0,
        now: datetime | None = None,
    ) -> SignedUrl:
        """`expires`: at most `longest` from now; a naive one is UTC.  Raises InvalidRequest."""
        check_queue(project, queue)
        if not kinds or not set(kinds) <= set(KINDS):
            raise InvalidRequest(f"paths must be some of {', '.join(KINDS)}.")
        if not methods or not set(methods) <= set(METHODS):
            raise InvalidRequest(f"methods must be some of {', '.join(METHODS)}.")
        until = self._until(expires, now or datetime.now(UTC))
        paths = tuple(sorted({f"/v2/queues/{queue}/{kind}" for kind in kinds}))
        verbs = tuple(sorted(set(methods)))
        text = until.strftime(EXPIRES_FORMAT)
        key = self._keys[0]
        digest = _digest(key, epoch, paths, verbs, project, text)
        return SignedUrl(paths, verbs, project, text, f"{key.id}-{epoch}-{digest}")

    def verify(self, signed: SignedUrl, method: str, path: str, *, epoch: int = 0, now: datetime | None = None) -> None:
        """May this request be served?  `path` is the request's path as it was sent, decoded once, without the query.
        `epoch` is the scope's own now.  Raises BadSignature, whatever is wrong."""
        match = _SIGNATURE.fullmatch(signed.signature)
        if match is None or not signed.project or not signed.paths or not signed.methods:
            raise BadSignature("The URL's signature does not hold.")
        key = next((key for key in self._keys if hmac.compare_digest(key.id, match[1])), None)
        secret = key or self._keys[0]
        paths, methods = tuple(sorted(set(signed.paths))), tuple(sorted(set(signed.methods)))
        expected = _digest(secret, int(match[2]), paths, methods, signed.project, signed.expires)
        genuine = hmac.compare_digest(expected, match[3]) and key is not None
        current = int(match[2]) == epoch and _still_valid(signed.expires, now or datetime.now(UTC))
        if not (genuine and current and method in methods and any(covers(one, path) for one in paths)):
            raise BadSignature("The URL's signature does not hold.")

    def _until(self, expires: datetime | None, now: datetime) -> datetime:
        if expires is None:
            return now + min(DEFAULT_VALIDITY, self._longest)
        until = expires.astimezone(UTC) if expires.tzinfo else expires.replace(tzinfo=UTC)
        if until <= now:
            raise InvalidRequest("expires is in the past.")
        if until > now + self._longest:
            raise InvalidRequest(f"A signed URL is valid for at most {int(self._longest.total_seconds())} seconds.")
        return until


def covers(signed: str, path: str) -> bool:
    """The path itself or one below it; nothing that a server might still normalise into another one."""
    if not _PATH.fullmatch(signed):
        return False
    below = path.removeprefix(signed) if path.startswith(signed) else None
    return below is not None and re.fullmatch(r"(?:/[A-Za-z0-9_-]{1,64})?", below) is not None


def _still_valid(expires: str, now: datetime) -> bool:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", expires):
        return False
    try:
        until = datetime.fromisoformat(expires).replace(tzinfo=UTC)
    except ValueError:
        return False
    return now < until


def _digest(key: SigningKey, epoch: int, paths: Sequence[str], methods: Sequence[str], project: str, expires: str) -> str:
    # Each epoch but the first has a key of its own, so the text that is signed stays the one that Zaqar's clients know.
    secret = hmac.new(key.secret, f"coffer-signed-url:{epoch}".encode(), hashlib.sha256).digest() if epoch else key.secret
    text = r"\n".join([",".join(paths), ",".join(methods), project, expires])
    return hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
