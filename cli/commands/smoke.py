"""coffer smoke."""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from cli import engines, leftovers, lifecycle, start, steps
from cli.engines import ENGINES, Engine
from cli.errors import CliError
from cli.output import console, duration, json_option, table
from cli.ports import ANY
from cli.rest import sign_in
from cli.signals import interrupt_on_termination
from cli.statedir import StateDir
from cli.tenant import Tenant, check_done

STAGES = ("create", "use", "restart", "use again", "delete")
LOG_LINES = 15
WITHIN = 180.0

Timings = dict[str, float]


@click.command()
@click.option("--engine", "names", type=click.Choice(list(ENGINES)), multiple=True, help="Only this one (may be repeated).")
@click.option("--keep", is_flag=True, help="Keep the state directory and its databases when something fails.")
@json_option
def smoke(names: tuple[str, ...], keep: bool, as_json: bool) -> None:
    """Create, use, restart, use again and delete a database of each kind, then check that nothing is left.

    Runs on free ports and in a directory of its own under /tmp.  The exit code says it all.
    """
    interrupt_on_termination()
    directory = Path(tempfile.mkdtemp(prefix="coffer-", dir="/tmp"))  # short: Unix sockets lie below
    state = StateDir(directory)
    timings: dict[str, Timings] = {}
    begin = time.monotonic()
    with _control_plane(state, keep):
        up = time.monotonic() - begin
        for name in names or ENGINES:
            timings[name] = _whole_way(Tenant(sign_in(state)), ENGINES[name])
        _check_nothing_left(leftovers.of_servers(state))
    _check_nothing_left([*leftovers.of_machine(directory), *([f"directory {directory}"] if directory.exists() else [])])
    _report(timings, up, time.monotonic() - begin, as_json)


@contextmanager
def _control_plane(state: StateDir, keep: bool) -> Iterator[None]:
    """Up, and gone with all that it holds at the end, whatever happens in between."""
    try:
        start.up_in_background(start.Want(state, ports=ANY), announce=sys.stderr)
        yield
    except BaseException:
        _show_log(state)
        lifecycle.down(state)
        if keep:
            _say(f"kept: {state.root}")
        elif state.exists():
            lifecycle.purge(state, _say)
        raise
    lifecycle.down(state)
    lifecycle.purge(state, _say)


def _whole_way(tenant: Tenant, engine: Engine) -> Timings:
    timings: Timings = {}

    def timed(stage: str, step: Callable[[], None]) -> None:
        _say(f"{engine.datastore} {engine.version}: {stage}")
        begin = time.monotonic()
        step()
        timings[stage] = time.monotonic() - begin

    instance_id = password = ""

    def create() -> None:
        nonlocal instance_id, password
        instance_id, password = tenant.create(f"smoke-{engine.datastore}", engine)
        check_done(tenant.api, steps.wait(tenant.api, tenant.operation(instance_id, "InstanceCreate")["id"], WITHIN))

    def restart() -> None:
        tenant.restart(instance_id)
        check_done(tenant.api, steps.wait(tenant.api, tenant.operation(instance_id, "InstanceRestart")["id"], WITHIN))

    def use(visits: int) -> None:
        used = engines.use(engine, tenant.instance(instance_id, password).login)
        if used.visits != visits or not used.version.startswith(engine.version):
            raise CliError(f"{engine.datastore} {used.version} remembers {used.visits} visits, not {visits}")

    timed("create", create)
    timed("use", lambda: use(1))
    timed("restart", restart)
    timed("use again", lambda: use(2))
    timed("delete", lambda: tenant.delete(instance_id))
    return timings


def _check_nothing_left(found: list[str]) -> None:
    if found:
        raise CliError("this is left behind: " + "; ".join(found))


def _show_log(state: StateDir) -> None:
    for name in ("worker", "api"):
        if state.log(name).exists():
            _say(f"--- the end of {name}.log")
            _say("\n".join(state.log(name).read_text(errors="replace").splitlines()[-LOG_LINES:]))


def _report(timings: dict[str, Timings], up: float, total: float, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"up": up, "engines": timings, "total": total}, indent=2))
        return
    rows = [
        {
            "engine": name,
            **{stage: duration(seconds) for stage, seconds in stages.items()},
            "sum": duration(sum(stages.values())),
        }
        for name, stages in timings.items()
    ]
    console().print(table(rows, ("engine", *STAGES, "sum")))
    click.echo(f"control plane up in {duration(up)}; all in {duration(total)}; nothing left behind")


def _say(line: str) -> None:
    """Nobody may listen any more: what is to be cleared away is cleared away all the same."""
    with suppress(OSError):
        click.echo(line, err=True)
