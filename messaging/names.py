"""What names, TTLs and bodies may be."""

import json
import re
from dataclasses import dataclass

from messaging.errors import InvalidRequest
from messaging.values import Json

_QUEUE = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.-]{1,64}")
_ADMIN = re.compile(r"[^/\x00-\x1f\x7f]{1,64}")


@dataclass(frozen=True)
class Range:
    name: str
    least: int
    most: int

    def check(self, value: Json) -> int:
        """Raises InvalidRequest."""
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise InvalidRequest(f"{self.name} must be an integer from {self.least} to {self.most}.")
        return value


MESSAGE_TTL = Range("The TTL of a message", 60, 1209600)
DELAY = Range("The delay of a message", 0, 900)
CLAIM_TTL = Range("The TTL of a claim", 60, 43200)
GRACE = Range("The grace of a claim", 60, 43200)
WEIGHT = Range("weight", 0, 2**32 - 1)


def check_queue(project: str, name: str) -> None:
    """Raises InvalidRequest."""
    if not 1 <= len(project) <= 256:
        raise InvalidRequest("The project's id must have 1 to 256 characters.")
    check_queue_name(name)


def check_queue_name(name: Json) -> None:
    """Raises InvalidRequest."""
    if not isinstance(name, str) or not _QUEUE.fullmatch(name):
        raise InvalidRequest(
            "The name of a queue has 1 to 64 letters, digits, underscores, dots and hyphens, and is not only one or two dots."
        )


def check_admin_name(kind: str, name: Json) -> str:
    """Raises InvalidRequest."""
    if not isinstance(name, str) or not _ADMIN.fullmatch(name):
        raise InvalidRequest(f"The name of a {kind} has 1 to 64 characters, none of them a slash or a control character.")
    return name


def body_text(body: Json) -> str:
    """A message's body as it is kept.  Raises InvalidRequest."""
    try:
        return json.dumps(body, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        raise InvalidRequest("The body of a message must be JSON.") from None
