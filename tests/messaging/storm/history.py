"""What producers and claimers saw, and whether a queue that keeps its promises can have shown them that.

Each process writes its own log, one event a line, each moment from the clock that all processes of a machine share.  An event is
written after the answer, an intention before the request; so what a killed process did not come to write is unknown, never wrong.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POSTED, CLAIMED, RELEASING, DELETING, DELETED = "posted", "claimed", "releasing", "deleting", "deleted"


class Log:
    """Written through at once, so that it survives the process."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, kind: str, **values: Any) -> None:
        os.write(self._file, f"{json.dumps({'kind': kind, **values})}\n".encode())


def read(directory: Path) -> list[dict[str, Any]]:
    lines = (line for path in sorted(directory.glob("*.log")) for line in path.read_text().splitlines(keepends=True))
    return [json.loads(line) for line in lines if line.endswith("\n")]


@dataclass(frozen=True)
class Hold:
    """One claim on one message: granted between `asked` and `granted`, certain to last until `until`."""

    claim: str
    asked: float
    granted: float
    until: float


@dataclass(frozen=True)
class Verdict:
    posted: int
    deliveries: int
    redelivered: int
    lost: tuple[str, ...]
    """Acknowledged, yet neither left in the queue nor ever asked to be deleted."""
    shared: tuple[str, ...]
    """Given to somebody while somebody else was certain to hold it."""
    risen: tuple[str, ...]
    """Given to somebody after its deletion had been acknowledged."""


def judge(events: Iterable[Mapping[str, Any]], left: Iterable[str]) -> Verdict:
    posted: set[str] = set()
    deleting: set[str] = set()
    deleted: dict[str, float] = {}
    released: dict[str, float] = {}
    claims: list[Mapping[str, Any]] = []
    for event in events:
        match event["kind"]:
            case "posted":
                posted.update(event["ids"])
            case "claimed":
                claims.append(event)
            case "releasing":
                released[event["claim"]] = event["at"]
            case "deleting":
                deleting.update(event["ids"])
            case "deleted":
                deleted.update(dict.fromkeys(event["ids"], event["at"]))
    holds = _holds(claims, released)
    return Verdict(
        posted=len(posted),
        deliveries=sum(len(some) for some in holds.values()),
        redelivered=sum(len(some) > 1 for some in holds.values()),
        lost=tuple(sorted(posted - deleting - set(left))),
        shared=tuple(sorted(message for message, some in holds.items() if _overlap(some))),
        risen=tuple(sorted(m for m, some in holds.items() if any(hold.asked > deleted.get(m, float("inf")) for hold in some))),
    )


def _holds(claims: Iterable[Mapping[str, Any]], released: Mapping[str, float]) -> dict[str, list[Hold]]:
    holds: dict[str, list[Hold]] = defaultdict(list)
    for event in claims:
        until = min(event["asked"] + event["ttl"], released.get(event["claim"], float("inf")))
        for message in event["ids"]:
            holds[message].append(Hold(event["claim"], event["asked"], event["granted"], until))
    return holds


def _overlap(holds: Iterable[Hold]) -> bool:
    """Was one certain to be granted while another was certain to last?"""
    ordered = sorted(holds, key=lambda hold: hold.asked)
    return any(
        later.asked >= earlier.granted and later.granted < earlier.until
        for n, earlier in enumerate(ordered)
        for later in ordered[n + 1 :]
    ) or any(
        # Asked for at the same time: whichever came first was certain to last until both had been granted.
        later.asked < earlier.granted and max(later.granted, earlier.granted) < min(earlier.until, later.until)
        for n, earlier in enumerate(ordered)
        for later in ordered[n + 1 :]
    )
