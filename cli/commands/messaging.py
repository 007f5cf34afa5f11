"""coffer messaging import."""

import configparser
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click
from oslo_config.cfg import ConfigOpts
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from cli.deployment import command, config_options, database, load
from cli.errors import CliError
from cli.output import json_option, show
from messaging.errors import MessagingError
from messaging.importer import Finding, Importer, Plan
from messaging.service import Messaging
from messaging.zaqar import ZAQAR_DATABASE, in_database
from security import keyring

ZAQAR_STORES = ("sqlalchemy", "mongodb")


@click.group()
def messaging() -> None:
    """Storage of messages."""


@messaging.command("import")
@click.argument("source", metavar="SOURCE")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--assign", multiple=True, metavar="GROUP=FLAVOR", help="Which of the flavors that share a group gets its pools.")
@click.option("--stores", type=click.File(), metavar="FILE", help="Lines POOL=URI: pools that get another store than they had.")
@click.option("--undo", is_flag=True, help="Remove what an import from SOURCE has added, while it holds no queues.")
@config_options
@json_option
def import_(
    source: str,
    dry_run: bool,
    assign: tuple[str, ...],
    stores: TextIO | None,
    undo: bool,
    config: Path | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Take over the pools and flavors of a Zaqar; its database is only read.

    SOURCE is Zaqar's configuration file, the URL of its management database (SQLAlchemy's or `mongodb:`), or `-` for a URL on standard
    input (the way to give one with a password).  Pool groups become flavors.  Queues and their messages are not taken over.
    """
    conf = load(config, state)
    url, chosen = _url(source), _pairs(assign, "--assign")
    uris = _pairs([line for line in map(str.strip, stores or ()) if line and not line.startswith("#")], "--stores")
    with _importer(conf) as importer:
        plan = importer.plan(url, flavor_of_group=chosen, uris=uris)
        if undo:
            _undo(importer, plan, dry_run, as_json)
            return
        if plan.ready and not dry_run:
            importer.apply(plan)
        _tell(plan, as_json, plan.ready and not dry_run)
    if not plan.ready:
        raise CliError("nothing was written: there are points that stop the import", _way_on(plan))
    if not as_json:
        click.echo("nothing was written" if dry_run else f"done; back again: {command(conf, 'messaging import --undo SOURCE')}")


def _undo(importer: Importer, plan: Plan, dry_run: bool, as_json: bool) -> None:
    removed = [{"kind": "pool", "name": name} for name in plan.known_pools]
    removed += [{"kind": "flavor", "name": name} for name in plan.known_flavors]
    if not dry_run:
        importer.undo(plan)
    if as_json:
        click.echo(json.dumps({"written": not dry_run, "removed": removed}, indent=2))
        return
    show(removed, ("kind", "name"), as_json=False)
    click.echo("nothing was written" if dry_run else "removed")


@contextmanager
def _importer(conf: ConfigOpts) -> Iterator[Importer]:
    keys = keyring.load(Path(conf.secrets.keyring_file))
    with database(conf) as db:
        messaging = Messaging(db, keys)
        try:
            yield Importer(messaging)
        except MessagingError as e:
            raise CliError(str(e)) from e
        finally:
            messaging.close()


def _url(source: str) -> str:
    if source == "-":
        return sys.stdin.readline().strip()
    if Path(source).is_file():
        return _configured(source)
    if _has_password(source):
        raise CliError(
            "a URL with a password on the command line can be read by everybody on this machine",
            "name Zaqar's configuration file instead, or write - and give the URL on standard input",
        )
    return source


def _configured(source: str) -> str:
    """The URL of the management database that Zaqar's configuration names."""
    zaqar = configparser.ConfigParser(interpolation=None, strict=False)
    zaqar.read(source)
    chosen = zaqar.get("drivers", "management_store", fallback="")
    for store in (chosen,) if chosen in ZAQAR_STORES else ZAQAR_STORES:
        section = f"drivers:management_store:{store}"
        url = zaqar.get(section, "uri", fallback="")
        if url and store == "mongodb":
            return in_database(url, zaqar.get(section, "database", fallback=ZAQAR_DATABASE))
        if url:
            return url
    raise CliError(
        f"{source} has no uri in [drivers:management_store:sqlalchemy] or [drivers:management_store:mongodb]",
        "give the URL of the management database itself",
    )


def _has_password(source: str) -> bool:
    if source.startswith("mongodb:"):
        # It may name several hosts, as no other URL does.
        login, at, _hosts = source.rpartition("@")
        return bool(at) and ":" in login.partition("://")[2]
    try:
        return make_url(source).password is not None
    except ArgumentError as e:
        raise CliError(f"{source} is neither a file nor the URL of a database") from e


def _pairs(given: Iterable[str], option: str) -> dict[str, str]:
    pairs = {}
    for one in given:
        name, equals, value = (word.strip() for word in one.partition("="))
        if not (name and equals and value):
            raise CliError(f"{option} takes NAME=VALUE")  # not what was given: it may be a URI with a password
        pairs[name] = value
    return pairs


def _tell(plan: Plan, as_json: bool, written: bool) -> None:
    rows = [finding._asdict() for finding in plan.findings()]
    if as_json:
        click.echo(json.dumps({"ready": plan.ready, "written": written, "queues": plan.queues, "findings": rows}, indent=2))
        return
    show(rows, Finding._fields, as_json=False)
    click.echo(f"{plan.queues} queues and their messages stay where they are")


def _way_on(plan: Plan) -> str:
    if plan.shared_groups:
        return " ".join(f"--assign {group}=FLAVOR" for group in plan.shared_groups)
    return "settle what is marked stop; --stores gives a pool another store"
