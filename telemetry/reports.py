"""Reading a guest's report.  A guest may have been broken into: what is not exactly a report is none, and what it says of others is not heard."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

VERSION = 1
ROUTINE = "heartbeat"
MOST = 2**63 - 1
LONGEST = 64
MOST_JOBS = 128
ENGINE_STATES = frozenset({"running", "stopped", "blocked", "none"})
JOB_STATES = frozenset({"not_started", "in_progress", "succeeded", "failed"})
ENDED = frozenset({"succeeded", "failed"})


class Malformed(ValueError):
    """It is no report of this version."""


class Forged(ValueError):
    """It says to be another instance's than the one whose queue it came through."""


@dataclass(frozen=True, slots=True)
class Report:
    """Units and meanings as in docs/developer/telemetry.md."""

    instance_id: str
    epoch: int
    number: int
    engine_state: str
    engine_wanted: bool
    engine_version: str | None
    engine_deaths: int
    volume_total: int | None
    volume_used: int | None
    load_average: list[float]
    root_enabled: bool | None
    agent_version: str
    boot_id: str
    generation: int
    jobs: list[dict[str, Any]]
    reason: str = ""

    @property
    def of_engine(self) -> bool:
        """Made because the engine's state has changed, which the next report may hide again."""
        return self.reason == "engine"

    @property
    def place(self) -> tuple[int, int]:
        return self.epoch, self.number

    def ended_jobs(self) -> list[str]:
        return [job["job_id"] for job in self.jobs if job["state"] in ENDED]


def is_routine(body: Any) -> bool:
    """Whether a guest says this body of a message to bring no news: it may wait for the drain's next look."""
    return isinstance(body, dict) and body.get("reason") == ROUTINE


def parse(instance_id: str, text: str) -> Report:
    """The report in a message of this instance's queue.  Fields that are not known are left out.  Raises Malformed, Forged."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    try:
        if body["v"] != VERSION:
            raise Malformed("another version")
        if body["instance_id"] != instance_id:
            raise Forged(instance_id)
        engine, volume, root = body["engine"], body["volume"], body["root_enabled"]
        return Report(
            instance_id,
            _number(body["epoch"]),
            _number(body["number"]),
            _one_of(ENGINE_STATES, engine["state"]),
            _flag(engine["wanted"]),
            None if engine["version"] is None else _text(engine["version"]),
            _number(engine["deaths"]),
            None if volume is None else _number(volume["total"]),
            None if volume is None else _number(volume["used"]),
            _several(3, _load, body["load"]),
            None if root is None else _flag(root),
            _text(body["agent"]),
            _text(body["boot_id"]),
            _number(body["generation"]),
            _several(MOST_JOBS, _job, body["jobs"]),
            _text(body.get("reason", "")),
        )
    except (KeyError, TypeError, IndexError) as e:
        raise Malformed(type(e).__name__) from None


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST:
        raise Malformed("a number")
    return value


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise Malformed("a truth value")
    return value


def _text(value: Any, longest: int = LONGEST) -> str:
    # Nothing that a database would refuse: NUL, lone surrogates.
    if type(value) is not str or len(value) > longest or not value.isprintable():
        raise Malformed("a text")
    return value


def _one_of(known: frozenset[str], value: Any) -> str:
    if value not in known:
        raise Malformed("a state")
    return str(value)


def _load(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value < 1e6 or math.isnan(value):
        raise Malformed("a load")
    return float(value)


def _several(most: int, each: Callable[[Any], Any], value: Any) -> list[Any]:
    if type(value) is not list or len(value) > most:
        raise Malformed("a list")
    return [each(one) for one in value]


def _job(value: Any) -> dict[str, Any]:
    progress = value["progress"]
    return {
        "job_id": _text(value["job_id"], 128),
        "kind": _text(value["kind"]),
        "state": _one_of(JOB_STATES, value["state"]),
        "revision": _number(value["revision"]),
        "progress": None
        if progress is None
        else {"step": _text(progress["step"]), "done": _number(progress["done"]), "total": _number(progress["total"])},
    }
