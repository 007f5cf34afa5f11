"""How commands answer: a table for people, JSON for scripts."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

EXACT_BELOW = 10.0

Row = Mapping[str, Any]

COLOURS = {
    "ACTIVE": "green",
    "DONE": "green",
    "ready": "green",
    "there": "green",
    "ok": "green",
    "running": "green",
    "RUNNING": "cyan",
    "STARTED": "cyan",
    "made": "cyan",
    "would be made": "cyan",
    "PENDING": "cyan",
    "BUILD": "cyan",
    "WAITING": "yellow",
    "CANCELLED": "yellow",
    "FAILED": "red",
    "ERROR": "red",
    "stopped": "red",
    "missing": "red",
    "wrong": "red",
    "failed": "red",
    "away": "red",
}


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="JSON, for scripts.")(command)


def state_option(command: Callable[..., Any]) -> Callable[..., Any]:
    where = "State directory; by default /var/lib/coffer for root, else ~/.local/state/coffer."
    return click.option("--state", type=click.Path(path_type=Path), envvar="COFFER_STATE", metavar="DIR", help=where)(command)


def show(rows: Sequence[Row], columns: Sequence[str], as_json: bool, empty: str = "none") -> None:
    """A list of things."""
    if as_json:
        click.echo(json.dumps(list(rows), indent=2, default=str))
    elif rows:
        console().print(table(rows, columns))
    else:
        click.echo(empty)


def show_one(row: Row, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(row, indent=2, default=str))
        return
    grid = Table(show_header=False, box=None, pad_edge=False)
    for name, value in row.items():
        if value not in (None, "", []):
            grid.add_row(f"[bold]{name}[/bold]", cell(value))
    console().print(grid)


def table(rows: Sequence[Row], columns: Sequence[str]) -> Table:
    out = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        out.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        out.add_row(*(cell(row.get(column)) for column in columns))
    return out


def cell(value: Any) -> str:
    text = "" if value is None else str(value)
    colour = COLOURS.get(text)
    return f"[{colour}]{text}[/{colour}]" if colour else escape(text)


def console(stderr: bool = False) -> Console:
    """Without a terminal nothing is cut to a width."""
    out = Console(stderr=stderr, highlight=False, soft_wrap=False)
    if not out.is_terminal:
        out.width = 250
    return out


def took(begin: str | None, end: str | None, is_open: bool) -> str:
    """How long something took, or takes by now while it is open; from the API's timestamps and as exact as they are."""
    if not begin or not (end or is_open):
        return ""
    until = _moment(end) if end else datetime.now(UTC)
    seconds = max(0.0, (until - _moment(begin)).total_seconds())
    exact = "." in begin and (not end or "." in end)
    return duration(seconds) if exact else f"{seconds:.0f} s"


def duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < EXACT_BELOW else f"{seconds:.1f} s"


def message(error: Any) -> str:
    """The API gives an error as its words, or with its type beside them."""
    return str(error.get("message", "") if isinstance(error, Mapping) else error or "")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
