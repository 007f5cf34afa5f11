"""coffer quota show, set."""

from pathlib import Path

import click
from oslo_config.cfg import ConfigOpts
from sqlalchemy import select

from cli.deployment import config_options, database, load
from cli.errors import CliError
from cli.output import json_option, show, show_one
from cli.statedir import read_json
from models import QuotaLimit, QuotaUsage

RESOURCES = ("instances", "volumes", "ram")
COLUMNS = ("resource", "limit", "in_use", "own")


@click.group()
def quota() -> None:
    """What projects may use."""


@quota.command("show")
@click.argument("project")
@config_options
@json_option
def show_(project: str, config: Path | None, state: Path | None, as_json: bool) -> None:
    """Limits and use of PROJECT (id, or name in the development identity)."""
    conf = load(config, state)
    project_id = _project_id(conf, project)
    with database(conf) as db, db.read() as s:
        own = {row.resource: row.hard_limit for row in s.scalars(select(QuotaLimit).where(QuotaLimit.project_id == project_id))}
        used = {row.resource: row.in_use for row in s.scalars(select(QuotaUsage).where(QuotaUsage.project_id == project_id))}
    rows = [
        {"resource": name, "limit": own.get(name, conf.quota[name]), "in_use": used.get(name, 0), "own": name in own}
        for name in RESOURCES
    ]
    show(rows, COLUMNS, as_json)


@quota.command("set")
@click.argument("project")
@click.argument("resource", type=click.Choice(RESOURCES))
@click.argument("limit", type=click.IntRange(-1))
@config_options
@json_option
def set_(project: str, resource: str, limit: int, config: Path | None, state: Path | None, as_json: bool) -> None:
    """Give PROJECT its own limit; -1: none.  (Write `-- -1`, so that it is not taken for an option.)"""
    conf = load(config, state)
    project_id = _project_id(conf, project)
    with database(conf) as db, db.write() as s:
        s.merge(QuotaLimit(project_id=project_id, resource=resource, hard_limit=limit))
    if as_json:
        show_one({"project_id": project_id, "resource": resource, "limit": limit}, as_json)
    else:
        click.echo(f"{project}: {resource} {limit}")


def _project_id(conf: ConfigOpts, project: str) -> str:
    """The development identity knows its projects, and so a misspelt one; Keystone's are taken as they are given."""
    if not conf.auth.identity_file:
        return project
    projects = read_json(Path(conf.auth.identity_file))["projects"]
    for known in projects:
        if project in (known["id"], known["name"]):
            return str(known["id"])
    raise CliError(f"there is no project {project}", f"the projects are {', '.join(p['name'] for p in projects)}")
