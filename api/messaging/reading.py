"""Reading queries and bodies by hand: a schema library would cost more than all the rest of a post."""

import json
import re
from typing import Any, NoReturn

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from api.context import behind
from api.errors import BadRequest
from api.messaging.faults import InvalidBody
from api.messaging.parts import parts

YES, NO = ("true", "yes", "1"), ("false", "no", "0")
_NUMBER = re.compile(r"[0-9]{1,9}")
MAX_METADATA = 64 * 1024


def document(*, most: int | None = None) -> Any:
    """The request's JSON, None when there is none."""
    raw = _raw(parts().options.max_post_size if most is None else most)
    if not raw.strip():
        return None
    try:
        value = json.loads(raw, parse_constant=_no_constant)
        if b"\\u" in raw:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InvalidBody("The body is not valid JSON.") from None
    return value


def fields(*, required: tuple[str, ...] = (), optional: tuple[str, ...] = (), strict: bool = True) -> dict[str, Any]:
    """The request's JSON object; without `strict` what is unknown is left out."""
    value = document()
    if value is None and not required:
        return {}
    if not isinstance(value, dict):
        raise InvalidBody("The body must be a JSON object.")
    for name in required:
        if name not in value:
            raise InvalidBody(f"The body must have '{name}'.")
    known = {*required, *optional}
    if strict and (unknown := sorted(set(value) - known)):
        raise InvalidBody(f"The body may have {', '.join(sorted(known))}; not {unknown[0][:64]!r}.")
    return {name: value[name] for name in value if name in known}


def number(name: str, least: int, most: int, default: int) -> int:
    given = request.args.get(name)
    if given is None:
        return default
    if not _NUMBER.fullmatch(given) or not least <= int(given) <= most:
        raise BadRequest(f"{name} must be a number from {least} to {most}.")
    return int(given)


def page_limit() -> int:
    options = parts().options
    return number("limit", 1, options.max_page_size, min(options.page_size, options.max_page_size))


def marker() -> str | None:
    return request.args.get("marker") or None


def yes(name: str) -> bool:
    given = request.args.get(name, "false").lower()
    if given not in YES + NO:
        raise BadRequest(f"{name} must be true or false.")
    return given in YES


def several(name: str) -> list[str] | None:
    """`a,b` or the parameter repeated; None when it is absent."""
    given = request.args.getlist(name)
    if not given:
        return None
    found = [one for value in given for one in value.split(",") if one]
    most = parts().options.max_page_size
    if not 1 <= len(found) <= most:
        raise BadRequest(f"{name} must name 1 to {most} items.")
    return found


def seconds_to_wait() -> int:
    return number("wait", 0, parts().options.max_wait, 0)


def _raw(most: int) -> bytes:
    too_large = f"The body must not be larger than {most} bytes."
    try:
        asked = behind(request)
        raw = asked.get_data(cache=False) if (asked.content_length or 0) <= most else None
    except RequestEntityTooLarge:
        raise BadRequest(too_large) from None
    if raw is None or len(raw) > most:
        raise BadRequest(too_large)
    return raw


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
