"""coffer image build."""

import tempfile
import time
from pathlib import Path

import click

from cli.image.build import FORMATS, build
from cli.image.recipes import RECIPES
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
@json_option
def build_(engine: str, output: Path | None, format_: str, work: Path | None, cache: Path | None, as_json: bool) -> None:
    """Make the image of ENGINE: Debian, the engine, the guest agent of this Coffer.

    Packages come from where this machine's apt gets them. Two builds with the same packages have the same root file system.
    """
    began = time.monotonic()

    def say(step: str) -> None:
        click.echo(f"{time.monotonic() - began:6.1f} s  {step}", err=True)

    made = build(
        RECIPES[engine], output or Path(f"coffer-{engine}.{format_}"), format_, work or Path(tempfile.gettempdir()), say, cache
    )
    show_one(made.as_row(), as_json)
