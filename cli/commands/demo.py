"""coffer demo."""

import json
import os
import select
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from cli import lifecycle, start, steps
from cli.addresses import api_url, host_before, ports_before
from cli.commands.run import port_options
from cli.engines import ENGINES, Login, use
from cli.errors import CliError
from cli.output import console, duration, state_option
from cli.ports import WantPorts
from cli.rest import CLOUD, sign_in
from cli.signals import interrupt_on_termination
from cli.statedir import StateDir, read_json, resolve, write_private
from cli.tenant import Tenant, check_done

ENGINE = ENGINES["mariadb"]
NAME = "demo"


@dataclass(frozen=True)
class Remembered:
    """The demo's instance and its user's password, which the API tells nobody again."""

    instance_id: str
    password: str


@click.command()
@state_option
@port_options
def demo(state: Path | None, api_port: int | None, temporal_port: int | None, ui_port: int | None) -> None:
    """Run Coffer, make a MariaDB over its API, run SQL in it, and say how to go on.

    Stays up until Ctrl-C, which stops the control plane and not the databases.  The next time it finds its database again.
    """
    where, out = resolve(state), console()
    ours = where.holder() is None
    interrupt_on_termination()
    if ours:
        start.up_in_background(start.Want(where, ports=WantPorts(api_port, temporal_port, ui_port)))
    else:
        out.print(f"Coffer runs in {where.root} already.")
    try:
        _show(where, out)
        if ours:
            out.print("\nCoffer runs. [bold]Ctrl-C[/bold] stops the control plane and not the databases.")
            _wait_for_end(where)
    except KeyboardInterrupt:
        out.print("\nStopping.")
    finally:
        if ours:
            lifecycle.down(where)
    if ours:
        out.print(
            f"The databases go on. [bold]{where.command('demo')}[/bold] finds them again; {where.command('down --purge')} removes all.",
            soft_wrap=True,
        )


def _show(where: StateDir, out: Console) -> None:
    tenant = Tenant(sign_in(where, CLOUD))
    instance_id, password, operation = _instance(where, tenant, out)
    login = tenant.instance(instance_id, password).login
    used = use(ENGINE, login)
    out.print(f"\nConnected to {login.host} as {login.user}: {ENGINE.statement}")
    out.print(f"  -> MariaDB [green]{used.version}[/green], {used.visits} visit{'' if used.visits == 1 else 's'} recorded")
    _say_how_to_go_on(where, out, login, instance_id, operation)


def _instance(where: StateDir, tenant: Tenant, out: Console) -> tuple[str, str, dict[str, Any]]:
    """The demo's instance of the last time when it is usable, or a new one."""
    memory = where.root / "demo.json"
    if memory.exists():
        last = Remembered(**read_json(memory))
        shown = tenant.show(last.instance_id)
        if shown is not None and shown["status"] == "ACTIVE":
            out.print(f"The instance {NAME} ({last.instance_id}) is there from the last time.")
            return last.instance_id, last.password, tenant.operation(last.instance_id, "InstanceCreate")
    out.print(f"POST /instances: {NAME}, {ENGINE.datastore} {ENGINE.version}, one database, one user")
    begin = time.monotonic()
    instance_id, password = tenant.create(NAME, ENGINE)
    write_private(memory, json.dumps(asdict(Remembered(instance_id, password))))
    operation = steps.follow(tenant.api, tenant.operation(instance_id, "InstanceCreate")["id"])
    check_done(tenant.api, operation)
    out.print(f"ACTIVE after {duration(time.monotonic() - begin)}")
    return instance_id, password, operation


def _say_how_to_go_on(where: StateDir, out: Console, login: Login, instance_id: str, operation: dict[str, Any]) -> None:
    ports = ports_before(where)
    assert ports is not None
    values = asdict(login)
    env = f"OS_CLIENT_CONFIG_FILE={where.clouds}"
    rows = (
        ("Connection string", [ENGINE.url.format(**values)]),
        ("Shell", [ENGINE.shell.format(**values)]),
        (
            "OpenStack client",
            [
                f"export {env}",
                f"openstack --os-cloud {CLOUD} database instance list",
                f"openstack --os-cloud {CLOUD} database instance show {instance_id}",
                f"openstack --os-cloud {CLOUD} database user list {instance_id}",
            ],
        ),
        ("API", [f"{api_url(host_before(where), ports)}/docs"]),
        ("This operation in Temporal", [link["href"] for link in operation["links"] if link["rel"] == "workflow"]),
    )
    for title, lines in rows:
        out.print(f"\n[bold]{title}[/bold]")
        for line in lines:
            out.print(f"  {line}", soft_wrap=True, markup=False)


def _wait_for_end(where: StateDir) -> None:
    pid = where.holder()
    if pid is None:
        raise CliError("the control plane has ended", f"see {where.log('supervisor')}")
    handle = os.pidfd_open(pid)
    try:
        select.select([handle], [], [])
    finally:
        os.close(handle)
