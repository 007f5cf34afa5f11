"""coffer guest upgrade, check-objects."""

from pathlib import Path

import click

from cli.commands.operation import cloud_options, follow, watch_option
from cli.output import json_option, show_one
from cli.rest import sign_in
from cli.statedir import resolve
from cli.tenant import Tenant


@click.group()
def guest() -> None:
    """Agents on database servers."""


@guest.command()
@click.argument("instance")
@cloud_options
@json_option
@watch_option
def upgrade(instance: str, cloud: str, state: Path | None, as_json: bool, watch: bool) -> None:
    """Replace the agent of INSTANCE by the one of this Coffer; the database stays up.

    A new agent that does not answer is taken back by the server itself.  For administrators, in the instance's project.
    """
    _act(instance, cloud, state, as_json, watch, action="upgrade_agent", kind="GuestUpgrade", called="upgrade")


@guest.command()
@click.argument("instance")
@cloud_options
@json_option
@watch_option
def check_objects(instance: str, cloud: str, state: Path | None, as_json: bool, watch: bool) -> None:
    """Have the server of INSTANCE send some segments to the object store and read them back.

    They are removed again; the database stays up.  For administrators, in the instance's project.
    """
    _act(instance, cloud, state, as_json, watch, action="check_objects", kind="GuestObjectCheck", called="check")


def _act(
    instance: str, cloud: str, state: Path | None, as_json: bool, watch: bool, *, action: str, kind: str, called: str
) -> None:
    """Ask for it; then follow the operation, or tell how to."""
    api = sign_in(resolve(state), cloud)
    api.post(f"/instances/{instance}/action", {action: {}})
    operation = Tenant(api).operation(instance, kind)
    if watch:
        follow(api, operation["id"], as_json, good=("DONE",))
    elif as_json:
        show_one(operation, as_json)
    else:
        words = f"operation show --watch {operation['id']}"
        click.echo(f"{called} requested; follow it: {api.command(words)}")
