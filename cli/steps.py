"""An operation and its steps, live."""

import math
import time
from typing import Any

from rich.live import Live
from rich.table import Table

from cli.errors import CliError
from cli.output import cell, console, message, took
from cli.rest import Api

POLL = 0.15
OVER = ("DONE", "FAILED", "CANCELLED")
"""States that an operation, and a step, never leaves."""


def fetch(api: Api, id: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/operations/{id}")["operation"]
    return found


def follow(api: Api, id: str) -> dict[str, Any]:
    """Show each step as it happens, until the operation is over; without a terminal, a line for each that ended."""
    out = console()
    if not out.is_terminal:
        return _narrate(api, id)
    with Live(console=out, refresh_per_second=8) as live:
        while True:
            found = fetch(api, id)
            live.update(table_of(found))
            if found["state"] in OVER:
                return found
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


def _narrate(api: Api, id: str) -> dict[str, Any]:
    told: set[str] = set()
    while True:
        found = fetch(api, id)
        for step in found["steps"]:
            if step["id"] not in told and step["finished"]:
                told.add(step["id"])
                print(f"  {step['name']:<24} {step['state']:<8} attempts {step['attempts']}  {time_of(step, found)}", flush=True)
        if found["state"] in OVER:
            return found
        time.sleep(POLL)
