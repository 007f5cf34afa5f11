"""coffer guest upgrade."""

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
    api = sign_in(resolve(state), cloud)
    api.post(f"/instances/{instance}/action", {"upgrade_agent": {}})
    operation = Tenant(api).operation(instance, "GuestUpgrade")
    if watch:
        follow(api, operation["id"], as_json, good=("DONE",))
    elif as_json:
        show_one(operation, as_json)
    else:
        words = f"operation show --watch {operation['id']}"
        click.echo(f"upgrade requested; follow it: {api.command(words)}")
