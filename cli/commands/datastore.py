"""coffer datastore list, register."""

from pathlib import Path

import click

from cli import catalog
from cli.deployment import command, config_options, database, load
from cli.output import json_option, show

COLUMNS = ("datastore", "version", "number", "manager", "image", "default", "active", "id")


@click.group()
def datastore() -> None:
    """Datastores and their versions."""


@datastore.command("list")
@config_options
@json_option
def list_(config: Path | None, state: Path | None, as_json: bool) -> None:
    """What tenants may choose from."""
    conf = load(config, state)
    with database(conf) as db, db.read() as s:
        rows = [
            {
                "datastore": datastore.name,
                "version": version.name,
                "number": version.version,
                "manager": version.manager,
                "image": version.image_id,
                "default": datastore.default_version_id == version.id,
                "active": version.active,
                "id": version.id,
            }
            for datastore, version in catalog.versions(s)
        ]
    show(rows, COLUMNS, as_json, empty=f"no datastores: {command(conf, 'datastore register NAME VERSION')}")


@datastore.command()
@click.argument("name")
@click.argument("version")
@click.option("--number", help="The engine's own version number, where VERSION is another name for it.")
@click.option("--manager", help="The guest agent's datastore manager; by default NAME.")
@click.option("--image", default="", help="Id of the image its servers boot from (OpenStack).")
@click.option("--default", "as_default", is_flag=True, help="What tenants get who name no version.")
@config_options
@json_option
def register(
    name: str,
    version: str,
    number: str | None,
    manager: str | None,
    image: str,
    as_default: bool,
    config: Path | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Offer VERSION of datastore NAME.  What is registered already stays; --image and --manager are set anew."""
    wanted = catalog.Version(name, version, number or version, manager or name, image)
    with database(load(config, state)) as db, db.write() as s:
        outcome = catalog.register(s, wanted, as_default)
    if as_json:
        show([{"datastore": name, "version": version, "outcome": outcome}], (), as_json)
    else:
        click.echo(f"{name} {version}: {outcome}")
