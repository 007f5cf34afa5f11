"""A queue's metadata: reserved keys with ranges and defaults, and what a JSON patch does to them."""

from collections.abc import Mapping, Sequence
from typing import Any

from messaging.errors import InvalidRequest, MetadataConflict
from messaging.names import DELAY, MESSAGE_TTL, Range, check_admin_name, check_queue_name
from messaging.values import Json, MetadataChange

FLAVOR = "_flavor"
POST_SIZE = "_max_messages_post_size"
TTL = "_default_message_ttl"
DELAY_KEY = "_default_message_delay"
MAX_CLAIMS = "_max_claim_count"
DEAD_LETTERS = "_dead_letter_queue"
DEAD_LETTERS_TTL = "_dead_letter_queue_messages_ttl"

DEFAULTS: dict[str, Any] = {
    POST_SIZE: 262144,
    TTL: 3600,
    DELAY_KEY: 0,
    DEAD_LETTERS: None,
    DEAD_LETTERS_TTL: None,
    MAX_CLAIMS: None,
    "_enable_encrypt_messages": False,
}
_RANGES = {
    POST_SIZE: Range(POST_SIZE, 1, 262144),
    TTL: Range(TTL, MESSAGE_TTL.least, MESSAGE_TTL.most),
    DELAY_KEY: Range(DELAY_KEY, DELAY.least, DELAY.most),
    MAX_CLAIMS: Range(MAX_CLAIMS, 1, 2**31 - 1),
    DEAD_LETTERS_TTL: Range(DEAD_LETTERS_TTL, MESSAGE_TTL.least, MESSAGE_TTL.most),
}
_STRINGS = (FLAVOR, DEAD_LETTERS)
_RESERVED = {*DEFAULTS, FLAVOR, "_retry_policy"}


def shown(metadata: Mapping[str, Json]) -> dict[str, Json]:
    """With the defaults of what was not set."""
    return {**DEFAULTS, **metadata}


def checked(metadata: Json) -> dict[str, Json]:
    """Without reserved keys that are null or an empty flavor: those are as good as absent.  Raises InvalidRequest."""
    if not isinstance(metadata, Mapping):
        raise InvalidRequest("Metadata must be an object.")
    kept = {
        key: value
        for key, value in metadata.items()
        if not (key in _RESERVED and (value is None or (key in _STRINGS and value == "")))
    }
    for key, value in kept.items():
        _check(key, value)
    return kept


def patched(metadata: Mapping[str, Json], changes: Sequence[MetadataChange]) -> dict[str, Json]:
    """A reserved key may be replaced or removed although it was not set.  Raises InvalidRequest, MetadataConflict."""
    result = dict(metadata)
    for change in changes:
        if change.op not in ("add", "replace", "remove"):
            raise InvalidRequest("The operations on metadata are add, replace and remove.")
        if change.op != "add" and change.key not in result and change.key not in _RESERVED:
            raise MetadataConflict(f"There is no metadata {change.key} to {change.op}.")
        if change.op == "remove":
            result.pop(change.key, None)
        else:
            result[change.key] = change.value
    return checked(result)


def flavor_of(metadata: Mapping[str, Json]) -> str | None:
    flavor = metadata.get(FLAVOR)
    return str(flavor) if flavor else None


def _check(key: str, value: Json) -> None:
    if key in _RANGES:
        _RANGES[key].check(value)
    elif key == FLAVOR:
        check_admin_name("flavor", value)
    elif key == DEAD_LETTERS:
        check_queue_name(value)
    elif key == "_enable_encrypt_messages" and not isinstance(value, bool):
        raise InvalidRequest(f"{key} must be true or false.")
    elif key == "_enable_encrypt_messages" and value:
        raise InvalidRequest("Queues with encrypted messages are not supported.")
    elif key == "_retry_policy" and not isinstance(value, dict):
        raise InvalidRequest(f"{key} must be an object.")
