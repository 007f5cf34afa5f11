"""An OpenStack for tests, named by COFFER_TESTBED_CLOUDS (a clouds.yaml): what tests prepare in it as its operator, and what is left in it.

It is looked at without Coffer's driver: as the service user through openstacksdk's own resource classes.  Each of several test processes
(pytest-xdist) has a project of its own, since audits are of a whole project.
"""

import contextlib
import io
import ipaddress
import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import dns.rdatatype
import dns.resolver
import openstack

from clouds.openstack import Credentials, Services, Settings, cloud_of
from clouds.ports import Cloud

CLOUDS_FILE = os.environ.get("COFFER_TESTBED_CLOUDS", "")
PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "")
"""gw0, gw1, ...; empty text: there is one only."""
MANAGEMENT = "-".join(["coffer-test", *filter(None, [PROCESS])])
FIRST_CIDR = os.environ.get("COFFER_TESTBED_CIDR", "10.97.0.0/20")
SERVICE_ROLES = ("admin", "service")
FLAVOR = "tb.tiny"
POLL_SECONDS = 0.5
GUESTS_SEE = 40
CHANNEL_PORT, ENGINE_PORTS = 2222, (3306, 5432, 6379)
BROKER, NAMESERVER = 21, 13
ZONE = "coffer-test.example"


def _own(cidr: str, process: str) -> str:
    """The network itself, or one of as many behind it as there are processes: addresses of guests must not overlap."""
    if not process:
        return cidr
    first = ipaddress.ip_network(cidr)
    behind = int(process.removeprefix("gw")) + 1
    return f"{first.network_address + behind * first.num_addresses}/{first.prefixlen}"


CIDR = _own(FIRST_CIDR, PROCESS)
_sessions: "weakref.WeakSet[Any]" = weakref.WeakSet()


def _forget_connections() -> None:
    """A forked child must not go on talking on its parent's connections."""
    for web in list(_sessions):
        web.close()


os.register_at_fork(after_in_child=_forget_connections)


@dataclass(frozen=True)
class Bed:
    """`service`: the service user's view, `operator`: the administrator's."""

    service: Any
    operator: Any
    credentials: Credentials
    flavor_id: str

    @property
    def api_port(self) -> int:
        """A port of this host that the testbed shows to its guests (testbed/README.md)."""
        return (urlsplit(self.credentials.auth_url).port or 0) + GUESTS_SEE

    @property
    def transport_url(self) -> str:
        """Where its services send notifications (testbed/README.md)."""
        port = (urlsplit(self.credentials.auth_url).port or 0) + BROKER
        return f"rabbit://testbed:{self.credentials.password}@127.0.0.1:{port}/"

    def zone(self) -> str:
        """One of the service project's that names can be given in, without a dot at its end; empty: it has no Designate."""
        if not self.service.has_service("dns"):
            return ""
        if not list(self.service.dns.zones(name=f"{ZONE}.")):
            self.service.dns.create_zone(name=f"{ZONE}.", email="hostmaster@example.org")
        return ZONE

    def resolve(self, name: str) -> list[str]:
        """As the testbed's nameserver tells whoever asks (testbed/README.md)."""
        asked = dns.resolver.Resolver(configure=False)
        asked.nameservers, asked.port = ["127.0.0.1"], (urlsplit(self.credentials.auth_url).port or 0) + NAMESERVER
        found: list[str] = []
        with contextlib.suppress(dns.resolver.NXDOMAIN):
            for family in (dns.rdatatype.A, dns.rdatatype.AAAA):
                answer = asked.resolve(f"{name}.", family, raise_on_no_answer=False, lifetime=10)
                found += [one.address for one in answer.rrset or ()]
        return found

    def settings(self, **changes: Any) -> Settings:
        given = {"poll_interval": POLL_SECONDS, "call_timeout": 30.0, **changes}
        return Settings(self.credentials, MANAGEMENT, MANAGEMENT, **given)

    def connect(self, on_call: Callable[[str, str], None] = lambda method, url: None, **changes: Any) -> Cloud:
        settings = self.settings(**changes)
        services = Services(settings, on_call)
        _sessions.add(services.web)
        return cloud_of(services, settings)

    def image(self, name: str, command: str) -> str:
        """Id of an image whose servers keep `command` running."""
        name = f"{MANAGEMENT}-{name}"
        found = self.operator.image.find_image(name)
        if found and found.properties.get("testbed_init", "") != command:
            self.operator.image.delete_image(found)
            found = None
        if not found:
            found = self.operator.image.create_image(
                name=name,
                disk_format="raw",
                container_format="bare",
                visibility="public",
                data=io.BytesIO(b"\0" * 65536),
                allow_duplicates=True,
                testbed_init=command,
            )
        return str(found.id)

    @contextlib.contextmanager
    def tenant(self, name: str) -> Iterator[Any]:
        """alice's or bob's view."""
        with _connected(name) as found:
            yield found

    def held(self) -> list[str]:
        """What of servers, volumes and networks the service project has, each as a word and a name."""
        compute, volumes, network = self.service.compute, self.service.block_storage, self.service.network
        found = [f"server {one.name}" for one in compute.servers(details=False)]
        found += [f"volume {one.name}" for one in volumes.volumes(details=False)]
        mine = {"project_id": self.service.current_project_id}
        found += [f"port {one.name}" for one in network.ports(**mine) if not one.device_owner.startswith("network:")]
        found += [f"group {one.name}" for one in network.security_groups(**mine) if one.name not in ("default", MANAGEMENT)]
        found += [f"floating {one.description}" for one in network.ips(**mine)]
        found += [f"record {name}" for name in self.names()]
        return sorted(found + [f"server group {one.name}" for one in compute.server_groups()])

    def names(self) -> list[str]:
        """Those of its records in DNS that lead to addresses."""
        if not self.service.has_service("dns"):
            return []
        answer = self.service.dns.get("/recordsets", params={"limit": "max"})
        answer.raise_for_status()
        return [one["name"] for one in answer.json()["recordsets"] if one["type"] in ("A", "AAAA")]

    def left(self) -> list[str]:
        return self.held()


@contextlib.contextmanager
def _connected(who: str, **auth: str) -> Iterator[Any]:
    # Whose configuration this is matters only here: Coffer is given credentials, as by an operator.
    loaded = openstack.config.OpenStackConfig(config_files=[CLOUDS_FILE], load_envvars=False)
    found = openstack.connection.Connection(config=loaded.get_one(f"testbed-{who}", auth=auth))
    try:
        yield found
    finally:
        found.close()


@contextlib.contextmanager
def testbed() -> Iterator[Bed]:
    """Connected, with a management network, a security group and a flavor."""
    with contextlib.ExitStack() as stack:
        yield _bed(stack)


def _bed(stack: contextlib.ExitStack) -> Bed:
    operator = stack.enter_context(_connected("admin"))
    own = {"project_name": _project(operator)} if PROCESS else {}
    service = stack.enter_context(_connected("service", **own))
    auth = service.config.auth
    credentials = Credentials(
        auth_url=auth["auth_url"],
        username=auth["username"],
        password=auth["password"],
        project_name=auth["project_name"],
        region_name=service.config.region_name,
        interface="public",
    )
    _management(service)
    flavor = operator.compute.find_flavor(FLAVOR, ignore_missing=False)
    return Bed(service, operator, credentials, flavor.id)


def _project(operator: Any) -> str:
    """This process' own, in which the service user is what it is in its first."""
    identity = operator.identity
    if not (project := identity.find_project(MANAGEMENT)):
        project = identity.create_project(name=MANAGEMENT, domain_id="default")
        user = identity.find_user("dbaas", ignore_missing=False)
        for role in SERVICE_ROLES:
            identity.assign_project_role_to_user(project, user, identity.find_role(role, ignore_missing=False))
    return MANAGEMENT


def _management(service: Any) -> None:
    network = service.network
    group = network.find_security_group(MANAGEMENT)
    if not group:
        group = network.create_security_group(name=MANAGEMENT, description="the guest channel, and engines, in")
    there = {rule["port_range_min"] for rule in group.security_group_rules if rule["direction"] == "ingress"}
    for port in {CHANNEL_PORT, *ENGINE_PORTS} - there:
        span = {"protocol": "tcp", "port_range_min": port, "port_range_max": port, "remote_ip_prefix": CIDR}
        network.create_security_group_rule(security_group_id=group.id, direction="ingress", **span)
    if not network.find_network(MANAGEMENT):
        made = network.create_network(name=MANAGEMENT)
        network.create_subnet(name=MANAGEMENT, network_id=made.id, ip_version=4, cidr=CIDR, is_dhcp_enabled=False)
