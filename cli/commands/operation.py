"""coffer operation list, show, retry, cancel."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlencode, urlsplit

import click
from rich.live import Live

from cli import steps
from cli.output import console, json_option, message, show, show_one, state_option, table, took
from cli.rest import CLOUD, Api, sign_in
from cli.statedir import resolve
from cli.tenant import check_done

COLUMNS = ("id", "kind", "instance_id", "state", "created", "took", "error")
POLL = 0.5


def cloud_options(command: Callable[..., Any]) -> Callable[..., Any]:
    what = "Whose operations: a cloud of the state directory's clouds.yaml."
    return state_option(
        click.option("--os-cloud", "cloud", default=CLOUD, show_default=True, envvar="OS_CLOUD", help=what)(command)
    )


watch_option = click.option("--watch", is_flag=True, help="Follow it live.")


@click.group()
def operation() -> None:
    """Watch, retry and cancel operations."""


@operation.command("list")
@cloud_options
@json_option
@watch_option
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="At most so many.")
def list_(cloud: str, state: Path | None, as_json: bool, watch: bool, limit: int) -> None:
    """The project's operations, newest first."""
    api = sign_in(resolve(state), cloud)
    if watch:
        _watch_list(api, limit)
    found, more = operations(api, limit)
    show(found if as_json else [_line(operation) for operation in found], COLUMNS, as_json)
    if more:
        click.echo(f"there are more: {api.command(f'operation list --limit {2 * limit}')}", err=True)


@operation.command("show")
@click.argument("id")
@cloud_options
@json_option
@watch_option
def show_(id: str, cloud: str, state: Path | None, as_json: bool, watch: bool) -> None:
    """One operation with its steps."""
    api = sign_in(resolve(state), cloud)
    if watch:
        follow(api, id, as_json, good=("DONE",))
        return
    found = steps.fetch(api, id)
    if as_json:
        show_one(found, as_json)
    else:
        show_one({name: value for name, value in _line(found).items() if name not in ("steps", "links")}, as_json)
        console().print(steps.table_of(found))


@operation.command()
@click.argument("id")
@cloud_options
@json_option
@watch_option
def retry(id: str, cloud: str, state: Path | None, as_json: bool, watch: bool) -> None:
    """Try the step that waits again, now; one that has ended begins anew, as another operation."""
    _act(sign_in(resolve(state), cloud), id, "retry", as_json, watch, good=("DONE",))


@operation.command()
@click.argument("id")
@cloud_options
@json_option
@watch_option
def cancel(id: str, cloud: str, state: Path | None, as_json: bool, watch: bool) -> None:
    """Take it back: what it has made so far is undone."""
    _act(sign_in(resolve(state), cloud), id, "cancel", as_json, watch, good=("CANCELLED", "DONE"))


def operations(api: Api, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """The newest ones, and whether there are more."""
    found: list[dict[str, Any]] = []
    query = urlencode({"limit": limit})
    while query and len(found) < limit:
        page = api.get(f"/operations?{query}")
        found += page["operations"]
        query = next((urlsplit(link["href"]).query for link in page.get("links", ()) if link["rel"] == "next"), "")
    return found[:limit], bool(query) or len(found) > limit


def _watch_list(api: Api, limit: int) -> NoReturn:
    with Live(console=console(), refresh_per_second=4) as live:
        while True:
            live.update(table([_line(operation) for operation in operations(api, limit)[0]], COLUMNS))
            time.sleep(POLL)


def _act(api: Api, id: str, action: str, as_json: bool, watch: bool, good: Sequence[str]) -> None:
    answer = api.post(f"/operations/{id}/action", {action: {}})["operation"]
    if watch:
        follow(api, answer["id"], as_json, good)
    elif as_json:
        show_one(answer, as_json)
    else:
        done = f"{action} requested" if answer["id"] == id else f"{id} begins anew as {answer['id']}"
        words = api.command(f"operation show --watch {answer['id']}")
        click.echo(f"{done}; follow it: {words}")


def follow(api: Api, id: str, as_json: bool, good: Sequence[str]) -> None:
    """Shows an operation until it is over.  The exit code tells whether it ended well."""
    found = steps.wait(api, id) if as_json else steps.follow(api, id)
    if as_json:
        show_one(found, as_json)
    if found["state"] not in good:
        check_done(api, found)


def _line(operation: dict[str, Any]) -> dict[str, Any]:
    length = took(operation["created"], operation["finished"], is_open=operation["state"] not in steps.OVER)
    return {**operation, "took": length, "error": message(operation["error"])}
