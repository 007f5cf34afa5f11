"""coffer operation list, show, retry, cancel."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.live import Live

from cli import steps
from cli.output import console, json_option, seconds, show, show_one, state_option, table
from cli.rest import Api, sign_in
from cli.statedir import resolve
from cli.tenant import check_done

COLUMNS = ("id", "kind", "instance_id", "state", "created", "took", "error")
POLL = 0.5


def cloud_options(command: Callable[..., Any]) -> Callable[..., Any]:
    what = "Whose operations: a cloud of the state directory's clouds.yaml."
    return state_option(
        click.option("--os-cloud", "cloud", default="coffer", show_default=True, envvar="OS_CLOUD", help=what)(command)
    )


watch_option = click.option("--watch", is_flag=True, help="Follow it live.")


@click.group()
def operation() -> None:
    """Watch, retry and cancel operations."""


@operation.command("list")
@cloud_options
@json_option
@watch_option
def list_(cloud: str, state: Path | None, as_json: bool, watch: bool) -> None:
    """The project's operations, newest first."""
    api = sign_in(resolve(state), cloud)
    if not watch:
        show([_line(operation) for operation in operations(api)] if not as_json else operations(api), COLUMNS, as_json)
        return
    with Live(console=console(), refresh_per_second=4) as live:
        while True:
            live.update(table([_line(operation) for operation in operations(api)], COLUMNS))
            time.sleep(POLL)


@operation.command("show")
@click.argument("id")
@cloud_options
@json_option
@watch_option
def show_(id: str, cloud: str, state: Path | None, as_json: bool, watch: bool) -> None:
    """One operation with its steps."""
    api = sign_in(resolve(state), cloud)
    if watch:
        _watch(api, id, as_json, good=("DONE",))
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


def operations(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/operations")["operations"]
    return found


def _act(api: Api, id: str, action: str, as_json: bool, watch: bool, good: Sequence[str]) -> None:
    answer = api.post(f"/operations/{id}/action", {action: {}})["operation"]
    if watch:
        _watch(api, answer["id"], as_json, good)
    elif as_json:
        show_one(answer, as_json)
    else:
        click.echo(f"{action} requested; follow it: coffer operation show --watch {answer['id']}")


def _watch(api: Api, id: str, as_json: bool, good: Sequence[str]) -> None:
    """Until it is over.  The exit code tells whether it ended well."""
    found = steps.wait(api, id) if as_json else steps.follow(api, id)
    if as_json:
        show_one(found, as_json)
    if found["state"] not in good:
        check_done(found)


def _line(operation: dict[str, Any]) -> dict[str, Any]:
    error = (operation["error"] or {}).get("message", "")
    return {**operation, "took": seconds(operation["created"], operation["finished"]), "error": error}
