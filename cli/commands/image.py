"""coffer image build, upload."""

import tempfile
import time
from pathlib import Path
from typing import Any

import click
from oslo_config.cfg import ConfigOpts

from cli.deployment import config_options, load
from cli.errors import CliError
from cli.image.build import FORMATS, build
from cli.image.recipes import RECIPES
from cli.image.upload import describe, register, upload
from cli.output import json_option, show_one


@click.group()
def image() -> None:
    """Images that database servers boot from."""


@image.command("build")
@click.argument("engine", type=click.Choice(sorted(RECIPES)))
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write; by default coffer-ENGINE.FORMAT here."
)
@click.option(
    "--format", "format_", type=click.Choice(FORMATS), default="qcow2", show_default=True, help="A disk, or its root file system."
)
@click.option(
    "--work", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Directory for what is needed meanwhile."
)
@click.option(
    "--cache", type=click.Path(path_type=Path, file_okay=False), help="Directory that keeps packages for the next build."
)
@click.option("--upload", "as_upload", is_flag=True, help="Then into the cloud's image service.")
@click.option("--register", "as_register", is_flag=True, help="Then what new servers of that version boot from; with --upload.")
@click.option("--default", "as_default", is_flag=True, help="With --register: what tenants get who name no version.")
@config_options
@json_option
def build_(
    engine: str,
    output: Path | None,
    format_: str,
    work: Path | None,
    cache: Path | None,
    as_upload: bool,
    as_register: bool,
    as_default: bool,
    config: Path | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Make the image of ENGINE: Debian, the engine, the guest agent of this Coffer.

    Packages come from where this machine's apt gets them. Two builds with the same packages have the same root file system.
    """
    if as_register and not as_upload:
        raise CliError("--register needs --upload", "for an image that is there already: coffer datastore register --image ID")
    if as_upload and format_ == "tar":
        raise CliError("a tar archive cannot be uploaded", "leave --format away, or say raw")
    conf = load(config, state) if as_upload else None
    path = output or Path(f"coffer-{engine}.{format_}")
    made = build(RECIPES[engine], path, format_, work or Path(tempfile.gettempdir()), _say(), cache)
    row = made.as_row() | (_upload(conf, path, as_register, as_default) if conf else {})
    show_one(row, as_json)


@image.command("upload")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--register", "as_register", is_flag=True, help="Then what new servers of that version boot from.")
@click.option("--default", "as_default", is_flag=True, help="With --register: what tenants get who name no version.")
@config_options
@json_option
def upload_(file: Path, as_register: bool, as_default: bool, config: Path | None, state: Path | None, as_json: bool) -> None:
    """Put a built image into the cloud's image service.  What is there already stays."""
    show_one(_upload(load(config, state), file, as_register, as_default), as_json)


def _upload(conf: ConfigOpts, path: Path, as_register: bool, as_default: bool) -> dict[str, Any]:
    description = describe(path)
    image_id = upload(conf, path, description)
    row = {"image": image_id}
    if as_register:
        outcome = register(conf, description, image_id, as_default)
        row["datastore_version"] = f"{description.recipe.engine} {description.version}: {outcome}"
    return row


def _say() -> Any:
    began = time.monotonic()

    def say(step: str) -> None:
        click.echo(f"{time.monotonic() - began:6.1f} s  {step}", err=True)

    return say
