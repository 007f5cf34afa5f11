"""coffer reconcile."""

import dataclasses
from pathlib import Path

import click

from cli import drift
from cli.deployment import config_options, database, load
from cli.errors import CliError
from cli.output import json_option, show
from clouds.ports import CloudError

COLUMNS = ("instance", "thing", "finding", "key", "id")
DRIFT = 5


@click.command()
@config_options
@json_option
@click.pass_context
def reconcile(ctx: click.Context, config: Path | None, state: Path | None, as_json: bool) -> None:
    """Compare what the cloud holds with what the rows say; change nothing.  Exit code 5: they differ."""
    from worker import cloud_of  # with it come the SDKs, which take a second

    conf = load(config, state)
    try:
        with database(conf) as db:
            found = drift.look(db, cloud_of(conf))
    except CloudError as e:
        raise CliError(f"the cloud says: {e}", "check [cloud], [service_credentials] and [network]") from e
    show([dataclasses.asdict(one) for one in found], COLUMNS, as_json, empty="cloud and rows agree")
    if found:
        ctx.exit(DRIFT)
