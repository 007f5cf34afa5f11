"""`coffer`: every command, by noun."""

import importlib
from collections.abc import Mapping
from typing import Any

import click

from cli.errors import CliError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "up": ("cli.commands.run:up", "Run Coffer on this machine."),
    "down": ("cli.commands.run:down", "Stop it; --purge also removes its databases."),
    "status": ("cli.commands.run:status", "What runs, and where."),
    "demo": ("cli.commands.demo:demo", "Run it, make a real database, use it, say how to go on."),
    "smoke": ("cli.commands.smoke:smoke", "The whole way with every engine, and nothing left behind."),
    "reconcile": ("cli.commands.reconcile:reconcile", "What the cloud holds against what the rows say."),
    "operation": ("cli.commands.operation:operation", "Watch, retry and cancel operations."),
    "events": ("cli.commands.events:events", "Be told what happens to instances."),
    "datastore": ("cli.commands.datastore:datastore", "Datastores and their versions."),
    "guest": ("cli.commands.guest:guest", "Agents on database servers."),
    "image": ("cli.commands.image:image", "Images that database servers boot from."),
    "flavor": ("cli.commands.flavor:flavor", "Sizes of database servers."),
    "quota": ("cli.commands.quota:quota", "What projects may use."),
    "messaging": ("cli.commands.messaging:messaging", "Pools and flavors taken over from a Zaqar."),
    "openstack": ("cli.commands.openstack:openstack", "What Coffer must find in OpenStack."),
    "db": ("cli.commands.db:db", "The control plane's database and keyring."),
    "temporal": ("cli.commands.temporal:temporal", "What Temporal must know of Coffer."),
}


class Lazy(click.Group):
    """Imports a command's module when the command is used: `coffer --help` must not load the SDKs of half the world."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PermissionError as e:
            what = f"{e.filename}: " if e.filename else ""
            raise CliError(f"{what}{e.strerror}", "it belongs to another user: run the command as that one") from e

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="coffer")
def main() -> None:
    """Coffer: databases as a service, durably."""


if __name__ == "__main__":
    main()
