"""Where reports go, and the signature that permits it: `post_to` as agent.json, an answer or the control plane gives it."""

import re
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from guest_agent import fields
from guest_agent.errors import InvalidRequest

SHORTEST_PERIOD = 0.1
LONGEST_PERIOD = 3600
MAX_LENGTH = 4096
MOST_EPOCHS = 2**63 - 2
PORTS = {"http": 80, "https": 443}
# What goes into a request line or a header as it is.
PRINTABLE = re.compile(r"[!-~]+", re.ASCII)
EXPIRES = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", re.ASCII)


@dataclass(frozen=True)
class PostTo:
    url: str
    project: str
    paths: str
    methods: str
    expires: str
    """UTC, in the form 2030-01-31T12:00:00, which sorts as it is."""
    signature: str = field(repr=False)

    def headers(self) -> dict[str, str]:
        return {
            "X-Project-ID": self.project,
            "URL-Paths": self.paths,
            "URL-Methods": self.methods,
            "URL-Expires": self.expires,
            "URL-Signature": self.signature,
        }


@dataclass(frozen=True)
class Destination:
    """`period`: seconds from one report to the next when nothing happens."""

    post_to: PostTo
    period: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def destination(value: object, where: str) -> Destination:
    return Destination(**fields.take(value, where, DESTINATION))


def configuration(params: object, where: str) -> tuple[Destination, int | None]:
    """The params of telemetry.configure: a destination, and what the epoch has to be above."""
    taken = fields.take(params, where, DESTINATION, {"epoch_above": fields.integer(0, MOST_EPOCHS)})
    above: int | None = taken.pop("epoch_above")
    return Destination(**taken), above


def post_to(value: object, where: str) -> PostTo:
    taken = fields.take(
        value,
        where,
        {"url": http_url, "expires": _expires, **dict.fromkeys(("project", "paths", "methods", "signature"), _printable)},
    )
    return PostTo(**taken)


def newer(kept: Destination | None, given: Destination | None) -> Destination | None:
    """What an agent begins with: what it kept, unless what its server was made with lasts longer."""
    if kept and given:
        return given if given.post_to.expires > kept.post_to.expires else kept
    return kept or given


def _printable(value: object, where: str) -> str:
    text = fields.text(value, where)
    if len(text) > MAX_LENGTH or not PRINTABLE.fullmatch(text):
        raise InvalidRequest(f"{where} is not 1 to {MAX_LENGTH} printable ASCII characters without a space.")
    return text


def _expires(value: object, where: str) -> str:
    text = fields.text(value, where)
    if not EXPIRES.fullmatch(text):
        raise InvalidRequest(f"{where} is not a time like 2030-01-31T12:00:00.")
    return text


def http_url(value: object, where: str) -> str:
    url = _printable(value, where)
    try:
        parts = urlsplit(url)
        usable = parts.scheme in PORTS and parts.hostname and parts.port != 0 and not parts.username
    except ValueError:
        usable = False
    if not usable or parts.fragment:
        raise InvalidRequest(f"{where} is not an http or https URL of a host.")
    return url


DESTINATION = {"post_to": post_to, "period": fields.number(SHORTEST_PERIOD, LONGEST_PERIOD)}


def parts_of(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port, and what to ask that host for."""
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return parts.scheme, parts.hostname or "", parts.port or PORTS[parts.scheme], f"{parts.path or '/'}{query}"
