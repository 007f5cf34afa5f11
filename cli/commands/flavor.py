"""coffer flavor list, add."""

from pathlib import Path

import click

from cli import catalog
from cli.deployment import command, config_options, database, load
from cli.errors import CliError
from cli.output import json_option, show, show_one
from models import FlavorRow

COLUMNS = ("id", "name", "ram_mb", "vcpus", "disk_gb")


@click.group()
def flavor() -> None:
    """Sizes of database servers."""


@flavor.command("list")
@config_options
@json_option
def list_(config: Path | None, state: Path | None, as_json: bool) -> None:
    """What tenants may choose from."""
    conf = load(config, state)
    with database(conf) as db, db.read() as s:
        rows = [{column: getattr(row, column) for column in COLUMNS} for row in catalog.flavors(s)]
    show(rows, COLUMNS, as_json, empty=f"no flavors: {command(conf, 'flavor add ID NAME --ram MB')}")


@flavor.command()
@click.argument("id")
@click.argument("name")
@click.option("--ram", "ram_mb", type=click.IntRange(64), required=True, metavar="MB")
@click.option("--vcpus", type=click.IntRange(1), default=1, show_default=True)
@click.option("--disk", "disk_gb", type=click.IntRange(1), default=5, show_default=True, metavar="GB")
@config_options
@json_option
def add(
    id: str, name: str, ram_mb: int, vcpus: int, disk_gb: int, config: Path | None, state: Path | None, as_json: bool
) -> None:
    """Offer a flavor."""
    new = {"id": id, "name": name, "ram_mb": ram_mb, "vcpus": vcpus, "disk_gb": disk_gb}
    with database(load(config, state)) as db, db.write() as s:
        for taken in catalog.flavors(s):
            if taken.id == id or taken.name == name:
                raise CliError(
                    f"there is a flavor {taken.name} with the id {taken.id}",
                    "choose another id and name; a flavor in use must not change",
                )
        s.add(FlavorRow(**new))
    if as_json:
        show_one(new, as_json)
    else:
        click.echo(f"{name}: added")
