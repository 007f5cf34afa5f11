"""Checking JSON objects field by field, so that nothing unknown or of the wrong type gets in."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from guest_agent.errors import InvalidRequest

Check = Callable[[object, str], Any]

JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


def take(
    value: object, where: str, required: Mapping[str, Check] | None = None, optional: Mapping[str, Check] | None = None
) -> dict[str, Any]:
    """The checked fields of a JSON object; an optional field that is absent or null is None."""
    required, optional = required or {}, optional or {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} is not an object.")
    unknown = sorted(set(value) - set(required) - set(optional))
    if unknown:
        raise InvalidRequest(f"{where} has no field {unknown[0]!r}.")
    missing = sorted(set(required) - set(value))
    if missing:
        raise InvalidRequest(f"{where} lacks the field {missing[0]!r}.")
    taken = {name: check(value[name], f"{where}.{name}") for name, check in required.items()}
    for name, check in optional.items():
        taken[name] = None if value.get(name) is None else check(value[name], f"{where}.{name}")
    return taken


def text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"{where} is not a string.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        # JSON can spell half a character, which is no text in any encoding.
        raise InvalidRequest(f"{where} is not valid Unicode.")
    return value


def json_object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} is not an object.")
    return value


def job_id(value: object, where: str) -> str:
    if not isinstance(value, str) or not JOB_ID.fullmatch(value):
        raise InvalidRequest(f"{where} is not the id of a job.")
    return value


def integer(lowest: int, highest: int) -> Check:
    def check(value: object, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise InvalidRequest(f"{where} is not a whole number from {lowest} to {highest}.")
        return value

    return check


def number(lowest: float, highest: float) -> Check:
    def check(value: object, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not lowest <= value <= highest:
            raise InvalidRequest(f"{where} is not a number from {lowest:g} to {highest:g}.")
        return float(value)

    return check


def list_of(check_item: Check, highest: int = 1000) -> Check:
    def check(value: object, where: str) -> list[Any]:
        if not isinstance(value, list) or len(value) > highest:
            raise InvalidRequest(f"{where} is not a list of at most {highest}.")
        return [check_item(item, f"{where}[{index}]") for index, item in enumerate(value)]

    return check
