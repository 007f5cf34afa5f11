"""coffer reconcile."""

import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from oslo_config.cfg import ConfigOpts

from activities.drift import Kind, Repair
from activities.findings import Look, Seen, approve, look, write
from activities.reconcile import PATIENCE, Mender
from cli.deployment import command, config_options, database, load
from cli.errors import FAILED, CliError
from cli.output import json_option, show
from cli.repairs import begin_repairs
from clouds.ports import Cloud, CloudError
from models import Database

COLUMNS = ("kind", "instance", "thing", "finding", "age", "key", "id", "repair")
PLAN = ("do", "instance", "thing", "finding", "key", "id", "outcome")
DRIFT = 5
WORDS = {
    Repair.NOTHING: "",
    Repair.REMOVE: "remove it",
    Repair.MARK: "set the instance to ERROR",
    Repair.REPAIR: "attach the volume, start the server",
    Repair.RULES: "set it right",
    Repair.KEEP_ONE: "remove it, keep the one in use",
    Repair.NAME: "make it as it should be",
}


@click.command()
@config_options
@json_option
@click.option("--fix", is_flag=True, help="Mend what can be mended, after asking.")
@click.option("--dry-run", is_flag=True, help="With --fix: only say what would be done.")
@click.option(
    "--only",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in Kind]),
    help="With --fix: only findings of that kind.",
)
@click.option("--yes", is_flag=True, help="With --fix: do not ask.")
@click.pass_context
def reconcile(
    ctx: click.Context,
    config: Path | None,
    state: Path | None,
    as_json: bool,
    fix: bool,
    dry_run: bool,
    kinds: Sequence[str],
    yes: bool,
) -> None:
    """Compare what the cloud holds with what the rows say.  Exit code 5: they differ.

    Nothing is changed without --fix, and nothing is ever changed that this deployment has not made.
    """
    from worker import cloud_of  # with it come the SDKs, which take a second

    if not fix and (dry_run or kinds or yes):
        raise CliError("--dry-run, --only and --yes say how to mend", "add --fix")
    conf = load(config, state)
    try:
        with database(conf) as db:
            cloud = cloud_of(conf)
            now = look(db, cloud)
            seen = write(db, now.found)
            if not fix:
                show([_told(one) for one in seen], COLUMNS, as_json, empty="cloud and rows agree")
                ctx.exit(DRIFT if seen else 0)
            chosen = _chosen(seen, conf, kinds)
            if dry_run or not chosen:
                show([_planned(one) for one in chosen], PLAN, as_json, empty="there is nothing to mend")
                ctx.exit(DRIFT if seen else 0)
            if not yes:
                _ask(chosen, as_json)
                now = look(db, cloud)  # it may have taken a while to answer
                there = {found.row_id for found in now.found}
                chosen = [one for one in chosen if one.found.row_id in there]
            outcomes = _mend(db, cloud, now, chosen)
    except CloudError as e:
        raise CliError(f"the cloud says: {e}", "check [cloud], [service_credentials] and [network]") from e
    show([_planned(one, outcomes[one.found.row_id]) for one in chosen], PLAN, as_json)
    if any(not is_done for _, is_done in outcomes.values()):
        click.echo(f"what failed is tried again by the worker's next look, or by {command(conf, 'reconcile --fix')}", err=True)
        ctx.exit(FAILED)
    ctx.exit(DRIFT if len(chosen) < len(seen) else 0)


def _chosen(seen: Sequence[Seen], conf: ConfigOpts, kinds: Sequence[str]) -> list[Seen]:
    """What is to be mended, in the order in which it can be; says what is left for later."""
    wanted = [one for one in seen if one.found.repair and (not kinds or one.found.kind in kinds)]
    grace = timedelta(seconds=conf.reconcile.grace)
    ripe = [one for one in wanted if one.is_confirmed(grace)]
    if young := len(wanted) - len(ripe):
        what = "difference has" if young == 1 else "differences have"
        click.echo(
            f"{young} {what} not been found by two looks that lie {conf.reconcile.grace:g} s apart ([reconcile] grace): left for later",
            err=True,
        )
    return sorted(ripe, key=lambda one: one.found.rank)


def _ask(chosen: Sequence[Seen], as_json: bool) -> None:
    if as_json or not is_terminal():
        raise CliError("nobody is there to be asked", "say --yes, or --dry-run to see what would be done")
    show([_planned(one) for one in chosen], PLAN[:-1], as_json=False)
    click.confirm("Do this?", abort=True)


def is_terminal() -> bool:
    return sys.stdin.isatty()


def _mend(db: Database, cloud: Cloud, now: Look, chosen: Sequence[Seen]) -> Mapping[str, tuple[str, bool]]:
    """What became of each, by the finding's id, and whether it is done.  What is approved is done by the worker if we die on the way."""
    outcomes = begin_repairs(db, now, [one.found for one in chosen if one.found.repair is Repair.REPAIR])
    at_once = [one for one in chosen if one.found.repair is not Repair.REPAIR]
    approve(db, [one.found.row_id for one in at_once])
    mender = Mender(db, cloud, now, PATIENCE)
    for one in at_once:
        error = mender.mend(one.found)
        outcomes[one.found.row_id] = (error or "done", not error)
    return outcomes


def _planned(one: Seen, outcome: tuple[str, bool] | None = None) -> dict[str, Any]:
    found = one.found
    told = {"kind": found.kind.value, "instance": found.instance, "thing": found.thing, "finding": found.finding}
    done = {"outcome": outcome[0]} if outcome else {}
    return {"do": WORDS[found.repair], **told, "key": found.key, "id": found.id, **done}


def _told(one: Seen) -> dict[str, Any]:
    age = one.row.last_seen - one.row.first_seen
    times = {"first_seen": one.row.first_seen, "last_seen": one.row.last_seen, "age": _said(age), "looks": one.row.looks}
    return {**_planned(one), "repair": WORDS[one.found.repair], **times, "error": one.row.error}


def _said(age: timedelta) -> str:
    minutes, seconds = divmod(int(age.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
