"""An operation and its steps, live."""

import math
import time
from collections.abc import Iterator
from typing import Any

from rich.live import Live
from rich.table import Table

from cli.errors import CliError
from cli.output import cell, console, message, took
from cli.rest import Api

POLL = 0.15
LAST_STEP_WITHIN = 3.0
RUNNING = "RUNNING"
OVER = ("DONE", "FAILED", "CANCELLED")
"""States that an operation, and a step, never leaves."""


def fetch(api: Api, id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/operations/{id}")["operation"]
    return found


def follow(api: Api, id: str) -> dict[str, Any]:
    """Show each step as it happens, until the operation is over; without a terminal, a line for each that ended."""
    out = console()
    looks = _until_told(api, id)
    if not out.is_terminal:
        return _narrate(looks)
    with Live(console=out, refresh_per_second=8) as live:
        for found in looks:
            live.update(table_of(found))
    return found


def _until_told(api: Api, id: str) -> Iterator[dict[str, Any]]:
    """The operation as it goes on, up to its end.  Its last step, which ends it, is written down as ended a moment later."""
    patience = LAST_STEP_WITHIN
    while True:
        found = fetch(api, id)
        yield found
        if found["state"] in OVER:
            if patience <= 0 or all(step["state"] != RUNNING for step in found["steps"]):
                return
            patience -= POLL
        time.sleep(POLL)


def wait(api: Api, id: str, within: float = math.inf) -> dict[str, Any]:
    """Until the operation is over.  Raises CliError when it takes longer than `within` seconds."""
    deadline = time.monotonic() + within
    while (found := fetch(api, id))["state"] not in OVER:
        if time.monotonic() > deadline:
            at = found["steps"][-1] if found["steps"] else {"name": "its start", "error": ""}
            raise CliError(f"{found['kind']} is still at {at['name']} after {within:.0f} s {message(at['error'])}".rstrip())
        time.sleep(POLL)
    return found


def table_of(operation: dict[str, Any]) -> Table:
    title = f"{operation['kind']} {cell(operation['state'])}"
    out = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in ("step", "state", "attempts", "time", "", "error"):
        out.add_column(column, justify="right" if column in ("attempts", "time") else "left", overflow="fold")
    for step in operation["steps"]:
        out.add_row(
            step["name"],
            cell(step["state"]),
            str(step["attempts"]),
            time_of(step, operation),
            cell(step["progress"]),
            cell(message(step["error"])),
        )
    return out


def time_of(step: dict[str, Any], operation: dict[str, Any]) -> str:
    """A step that still waits when its operation ends has ended with it."""
    if step["finished"] or step["state"] in OVER:
        return took(step["started"], step["finished"], is_open=False)
    return took(step["started"], operation["finished"], is_open=operation["state"] not in OVER)


def _narrate(looks: Iterator[dict[str, Any]]) -> dict[str, Any]:
    told: set[str] = set()
    for found in looks:
        for step in found["steps"]:
            if step["id"] not in told and step["finished"]:
                told.add(step["id"])
                print(f"  {step['name']:<24} {step['state']:<8} attempts {step['attempts']}  {time_of(step, found)}", flush=True)
    return found
