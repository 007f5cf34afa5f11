"""coffer db upgrade, downgrade, revision, keyring."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from cli.deployment import config_options, load
from cli.errors import CliError
from cli.output import json_option, show_one
from cli.schema import failures_told
from migrations import runner
from security import keyring as keyrings

T = TypeVar("T")


@click.group()
def db() -> None:
    """The control plane's database and keyring."""


@db.command()
@click.argument("revision", default=runner.HEAD)
@config_options
def upgrade(revision: str, config: Path | None, state: Path | None) -> None:
    """Bring the schema to REVISION; by default to this release's."""
    url = load(config, state).database.connection
    _run(lambda: runner.upgrade(url, revision))
    click.echo(f"the database is at revision {_run(lambda: runner.current(url))}")


@db.command()
@click.argument("revision")
@config_options
def downgrade(revision: str, config: Path | None, state: Path | None) -> None:
    """Take the schema back to REVISION."""
    url = load(config, state).database.connection
    _run(lambda: runner.downgrade(url, revision))
    click.echo(f"the database is at revision {_run(lambda: runner.current(url)) or 'base'}")


@db.command()
@config_options
@json_option
def revision(config: Path | None, state: Path | None, as_json: bool) -> None:
    """Which schema the database has, and what `upgrade` would apply."""
    url = load(config, state).database.connection
    show_one({"revision": _run(lambda: runner.current(url)), "pending": _run(lambda: runner.pending(url))}, as_json)


@db.command()
@config_options
def keyring(config: Path | None, state: Path | None) -> None:
    """Make the keyring that seals secrets; one that exists is kept."""
    path = Path(load(config, state).secrets.keyring_file)
    there = path.exists()
    try:
        keyrings.create(path)
    except (OSError, ValueError, KeyError) as e:
        raise CliError(f"{path}: {e}") from e
    click.echo(f"{path}: {'there already' if there else 'made'}")


def _run(step: Callable[[], T]) -> T:
    with failures_told():
        return step()
