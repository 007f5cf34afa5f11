"""The OpenStack of a configuration, for commands: whose credentials are used, what is wanted of it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from oslo_config.cfg import ConfigOpts

from cli.errors import CliError
from cli.statedir import write_private
from config import dns_zone
from guests.keys import new_key_pair, public_key

if TYPE_CHECKING:
    from clouds.openstack.bootstrap import Bootstrap, Endpoint


def bootstrap_of(
    conf: ConfigOpts, make: bool, os_cloud: str | None = None, public_key: str = "", with_catalog: bool = True
) -> "Bootstrap":
    """`os_cloud`: who in clouds.yaml may see and change all of Keystone's catalog; by default the service user does."""
    from clouds.openstack import Services
    from clouds.openstack.bootstrap import Bootstrap, Wanted, credentials_of
    from worker import openstack_settings

    settings = openstack_settings(conf)
    services = Services(settings, lambda method, url: None)
    operator = services
    if os_cloud:
        try:
            operator = Services(replace(settings, credentials=credentials_of(os_cloud)), lambda method, url: None)
        except LookupError as e:
            raise CliError(str(e), "check --os-cloud and OS_CLIENT_CONFIG_FILE") from e
    wanted = Wanted(
        cidr=conf.network.management_cidr,
        region=settings.credentials.region_name,
        endpoints=endpoints(conf.api.public_endpoint.rstrip("/")) if with_catalog else (),
        with_servers=conf.cloud.driver == "openstack",
        public_key=public_key,
        zone=dns_zone(conf) if conf.cloud.driver == "openstack" else "",
    )
    return Bootstrap(services, operator, settings, wanted, make)


def endpoints(base: str) -> "tuple[Endpoint, ...]":
    from clouds.openstack.bootstrap import Endpoint

    database, messaging = (f"{base}/v1.0/%(project_id)s", f"{base}/messaging") if base else ("", "")
    return (
        Endpoint("database", "coffer", "Databases", database),
        Endpoint("messaging", "coffer-messaging", "Messages", messaging),
    )


def public_key_of(path: Path) -> str:
    """The public half of the private key in `path`; one is made, for its owner's eyes only, where there is nothing."""
    try:
        if not path.exists():
            write_private(path, new_key_pair().private)
        return public_key(path.read_text())
    except (OSError, ValueError) as e:
        raise CliError(f"{path}: {e}", "name a new file, or an OpenSSH private key without a passphrase") from e
