"""coffer up, down, status."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cli import lifecycle
from cli.errors import FAILED, NOT_RUNNING
from cli.output import console, json_option, show, show_one, state_option, table
from cli.ports import WantPorts
from cli.statedir import LOOPBACK, resolve


def port_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for name, what in (("ui", "Temporal's Web UI"), ("temporal", "Temporal"), ("api", "the API")):
        text = f"Port of {what}; 0: any free one."
        command = click.option(f"--{name}-port", type=click.IntRange(0, 65535), metavar="N", help=text)(command)
    return command


@click.command()
@state_option
@port_options
@click.option("--host", default=LOOPBACK, show_default=True, help="Loopback address to listen on.")
@click.option("--detach", is_flag=True, help="Go on in the background; return when usable.")
@click.option("--json", "as_json", is_flag=True, help="With --detach: once usable, the answer of `status --json`.")
def up(
    state: Path | None,
    api_port: int | None,
    temporal_port: int | None,
    ui_port: int | None,
    host: str,
    detach: bool,
    as_json: bool,
) -> None:
    """Run Temporal, API and worker on this machine, and restart what dies.

    One line READY comes on standard output when all is usable.  Ctrl-C stops the control plane, and not the databases.
    """
    from cli import start  # the SDKs that it needs take a second to load: not for `down` and `status`

    if as_json and not detach:
        raise click.UsageError("--json goes with --detach")
    want = start.Want(resolve(state), host, WantPorts(api_port, temporal_port, ui_port))
    (start.up_in_background if detach else start.up)(want, announce=sys.stderr if as_json else sys.stdout)
    if as_json:
        show_one(lifecycle.status(want.state), as_json)


@click.command()
@state_option
@click.option("--purge", is_flag=True, help="Remove the databases and the state directory too.")
@json_option
def down(state: Path | None, purge: bool, as_json: bool) -> None:
    """Stop the control plane.  Databases go on, unless they are to be removed."""

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    where = resolve(state)
    stopped = lifecycle.down(where)
    say(f"stopped Coffer in {where.root}" if stopped else f"Coffer did not run in {where.root}")
    removed = None
    if purge:
        removed = lifecycle.purge(where, say)
        say(f"removed {removed} database server{'' if removed == 1 else 's'} and {where.root}")
    if as_json:
        show_one({"state": str(where.root), "stopped": stopped, "purged": purge, "removed_servers": removed}, as_json)


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="COFFER_CONFIG",
    metavar="FILE",
    help="Configuration file: check the services of that deployment.",
)
@state_option
@json_option
@click.pass_context
def status(ctx: click.Context, config: Path | None, state: Path | None, as_json: bool) -> None:
    """What runs of a state directory.  Exit code 0: running; 4: not.

    With --config: whether all answers that the deployment needs, and what to do about what does not.  Exit code 1: something does not.
    """
    if config:
        _show_services(ctx, config, as_json)
        return
    out = lifecycle.status(resolve(state))
    if as_json:
        show_one(out, as_json)
    else:
        _show_status(out)
    if not out["running"]:
        ctx.exit(NOT_RUNNING)


def _show_services(ctx: click.Context, config: Path, as_json: bool) -> None:
    from cli import deployment, services  # the SDKs that these need take a second to load

    with _libraries_silent():
        found = list(services.check(deployment.load(config, None)))
    show([asdict(row) for row in found], ("service", "state", "found", "mend"), as_json)
    if not all(row.state in services.GOOD for row in found):
        ctx.exit(FAILED)


@contextmanager
def _libraries_silent() -> Iterator[None]:
    """What they would say is in the table."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(before)


def _show_status(status: dict[str, Any]) -> None:
    head = {
        "state directory": status["state"],
        "control plane": _condition(status),
        "supervisor": status["supervisor"],
        "database servers": status["servers"],
        "web UI": status.get("ui"),
    }
    show_one(head, as_json=False)
    rows = [
        {"part": name, "pid": pid, "state": "running" if pid else "stopped", "address": status.get(name)}
        for name, pid in status["parts"].items()
    ]
    console().print(table(rows, ("part", "pid", "state", "address")))


def _condition(status: dict[str, Any]) -> str:
    if not status["running"]:
        return "stopped"
    return "running" if status.get("usable") else "running, and the API does not answer"
