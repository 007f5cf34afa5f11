"""coffer temporal setup."""

import asyncio
from pathlib import Path

import click
from temporalio.client import Client
from temporalio.service import RPCError

from cli import searchattributes
from cli.deployment import config_options, load
from cli.errors import CliError
from cli.output import json_option, show_one


@click.group()
def temporal() -> None:
    """What Temporal must know of Coffer."""


@temporal.command()
@config_options
@json_option
def setup(config: Path | None, state: Path | None, as_json: bool) -> None:
    """Tell the namespace of Coffer's search attributes.  Those that it knows stay."""
    settings = load(config, state).temporal
    try:
        there, made = asyncio.run(_ensure(settings.address, settings.namespace))
    except (RuntimeError, RPCError) as e:
        raise CliError(f"Temporal at {settings.address}: {e}", "check [temporal] address and namespace, and that it runs") from e
    except searchattributes.WrongType as e:
        raise CliError(str(e), "choose a namespace that is Coffer's own") from e
    if as_json:
        show_one({"namespace": settings.namespace, "there": there, "made": made}, as_json)
        return
    for name in searchattributes.SEARCH_ATTRIBUTES:
        click.echo(f"{name}: {'made' if name in made else 'there already'}")


async def _ensure(address: str, namespace: str) -> tuple[list[str], list[str]]:
    return await searchattributes.ensure(await Client.connect(address, namespace=namespace))
