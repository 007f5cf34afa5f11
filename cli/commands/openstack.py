"""coffer openstack bootstrap, check-objects."""

from collections.abc import Iterator
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click
from oslo_config.cfg import ConfigOpts

from cli import catalog
from cli.deployment import config_options, database, load
from cli.errors import FAILED, CliError
from cli.openstackservices import bootstrap_of, public_key_of
from cli.output import json_option, show
from models import FlavorRow

if TYPE_CHECKING:
    from clouds.openstack.bootstrap import Bootstrap, Finding

COLUMNS = ("what", "name", "state", "mend")
HOW_MANY = 5


@click.group()
def openstack() -> None:
    """What Coffer must find in OpenStack."""


@openstack.command()
@click.option("--dry-run", is_flag=True, help="Look, and make nothing.")
@click.option(
    "--os-cloud", metavar="NAME", help="Of clouds.yaml: who may change Keystone's catalog; by default the service user."
)
@click.option("--import-flavors", metavar="GLOB", help="Offer Nova's flavors with such names, for instance 'db.*'.")
@click.option(
    "--private-key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Of the keypair that [guest] nova_keypair names; made when it is not there.",
)
@config_options
@json_option
@click.pass_context
def bootstrap(
    ctx: click.Context,
    dry_run: bool,
    os_cloud: str | None,
    import_flavors: str | None,
    private_key: Path | None,
    config: Path | None,
    state: Path | None,
    as_json: bool,
) -> None:
    """Make what Coffer needs in OpenStack and does not find: networks, security group, keypair, service and endpoints.

    What is there is left as it is.  Exit code 1: something is missing or wrong; its mend is shown.
    """
    conf = load(config, state)
    if private_key and not conf.guest.nova_keypair:
        raise CliError("[guest] nova_keypair names no keypair", "set it, or leave --private-key away")
    key = public_key_of(private_key) if private_key and not dry_run else ""
    steps = bootstrap_of(conf, not dry_run, os_cloud, key)
    findings = list(steps.run())
    if conf.cloud.driver == "openstack" and findings[0].state.good:
        findings += flavors(conf, steps, import_flavors, make=not dry_run)
    show([{column: getattr(finding, column) for column in COLUMNS} for finding in findings], COLUMNS, as_json)
    if not all(finding.state.good for finding in findings):
        ctx.exit(FAILED)


@openstack.command()
@config_options
@json_option
@click.pass_context
def check_objects(ctx: click.Context, config: Path | None, state: Path | None, as_json: bool) -> None:
    """Put a small object into the object store by temporary URLs, read it back and remove it.

    From this host; `coffer guest check-objects` does the same from a database server.  Exit code 1: a step failed; its mend is shown.
    """
    from cli import objectcheck
    from worker import cloud_of  # with it come the SDKs, which take a second

    passed = list(objectcheck.check(cloud_of(load(config, state)).objects))
    show([asdict(step) for step in passed], ("step", "state", "found", "mend"), as_json)
    if any(step.state != objectcheck.OK for step in passed):
        ctx.exit(FAILED)


def flavors(conf: ConfigOpts, steps: "Bootstrap", glob: str | None, make: bool) -> "Iterator[Finding]":
    """Whether Nova has what Coffer offers under the same ids; and what Coffer does not offer yet, by choice."""
    from clouds.openstack.bootstrap import Finding, State
    from clouds.ports import CloudError

    try:
        novas = {flavor.id: flavor for flavor in steps.flavors()}
    except CloudError as e:
        yield Finding("flavor", "", State.FAILED, str(e))
        return
    with database(conf) as db, db.write() as s:
        ours = {row.id: row for row in catalog.flavors(s)}
        for row in ours.values():
            same = novas.get(row.id)
            size = f"--ram {row.ram_mb} --vcpus {row.vcpus} --disk {row.disk_gb}"
            if same is None:
                yield Finding("flavor", row.name, State.MISSING, f"openstack flavor create --id {row.id} {size} {row.name}")
            elif (same.ram_mb, same.vcpus) != (row.ram_mb, row.vcpus):
                yield Finding("flavor", row.name, State.WRONG, f"Nova's {same.name} has {same.ram_mb} MiB and {same.vcpus} VCPUs")
            else:
                yield Finding("flavor", row.name, State.THERE)
        new = [flavor for id, flavor in novas.items() if id not in ours and fnmatchcase(flavor.name, glob or "")]
        taken = {row.name for row in ours.values()}
        for flavor in new:
            if flavor.name in taken:
                yield Finding("flavor", flavor.name, State.WRONG, f"there is one of that name with another id than {flavor.id}")
                continue
            if make:
                s.add(FlavorRow(id=flavor.id, name=flavor.name, ram_mb=flavor.ram_mb, vcpus=flavor.vcpus, disk_gb=flavor.disk_gb))
            yield Finding("flavor", flavor.name, State.MADE if make else State.WOULD)
        if not ours and not new:
            known = ", ".join(sorted(flavor.name for flavor in novas.values())[:HOW_MANY])
            yield Finding("flavor", "", State.MISSING, f"choose of Nova's ({known}): --import-flavors GLOB, or coffer flavor add")
