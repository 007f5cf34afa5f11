"""What events are called, and which a subscription wants.  The words go out to tenants: none is ever renamed."""

from collections.abc import Collection, Sequence

ACCEPTED, RENAMED, STATUS_RESET = "operation.accepted", "instance.renamed", "instance.status_reset"
SERVER_LOST, SERVER_BACK = "instance.server_lost", "instance.server_back"
ENGINE_DOWN, ENGINE_UP, SILENT, HEARD = "instance.engine_down", "instance.engine_up", "instance.silent", "instance.heard"
GUESTS = ENGINE_DOWN, ENGINE_UP, SILENT, HEARD
"""What guests report, or don't."""
OPERATION_ENDS = {"DONE": "operation.done", "FAILED": "operation.failed", "CANCELLED": "operation.cancelled"}
"""By the state that an operation ended in."""

EXISTS = "trove.instance.exists"
USAGE = (
    "trove.instance.create",
    "trove.instance.delete",
    "trove.instance.modify_volume",
    "trove.instance.modify_flavor",
    EXISTS,
)
"""Trove's notifications for billing, with its payload."""

ENDS: dict[str, tuple[str, ...]] = {
    "InstanceCreate": ("instance.created", "trove.instance.create"),
    "InstanceRestart": ("instance.restarted",),
    "InstanceRepair": ("instance.repaired",),
    "InstanceDelete": ("instance.deleted", "trove.instance.delete"),
    "GuestWrite": ("instance.changed",),
    "GuestUpgrade": (),
    "InstanceAccess": ("instance.access_changed",),
    "GuestObjectCheck": (),
}
"""What each kind of operation tells besides its own end when it has ended well."""

TYPES: tuple[str, ...] = tuple(
    dict.fromkeys(
        [
            *(ACCEPTED, *OPERATION_ENDS.values(), RENAMED, STATUS_RESET, SERVER_LOST, SERVER_BACK, *GUESTS),
            *(type for types in ENDS.values() for type in types),
            *USAGE,
        ]
    )
)
ANY = ".*"


def unknown(patterns: Collection[str]) -> list[str]:
    """Those that are neither a type nor the beginning of one with `.*`."""
    return sorted(pattern for pattern in patterns if not any(_fits(pattern, type) for type in TYPES))


def wanted(patterns: Sequence[str] | None, type: str) -> bool:
    """None wants everything."""
    return patterns is None or any(_fits(pattern, type) for pattern in patterns)


def _fits(pattern: str, type: str) -> bool:
    return type.startswith(pattern[: -len(ANY)] + ".") if pattern.endswith(ANY) else pattern == type
