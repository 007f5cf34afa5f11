"""What a deployment must find in OpenStack: each thing is looked for by name, made where it is missing, or told with what mends it."""

import enum
import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from openstack.config import OpenStackConfig
from openstack.exceptions import ConfigException

from clouds.openstack.calls import Json, Services
from clouds.openstack.dns import DESIGNATE, zone_of
from clouds.openstack.settings import Credentials, Settings
from clouds.ports import CloudError, Flavor

CHECKS_TOKENS = {"admin", "service"}
MAKES_PORTS = "admin"
PURPOSE = "The channel of Coffer's workers to database servers"
INTERFACES = ("public", "internal", "admin")


def credentials_of(cloud: str) -> Credentials:
    """Those of a cloud in clouds.yaml, with a password.  Raises LookupError."""
    try:
        found = OpenStackConfig(load_envvars=True).get_one(cloud=cloud)
        named: dict[str, str] = {name: found.auth[name] for name in ("auth_url", "username", "password", "project_name")}
    except (ConfigException, KeyError) as error:
        raise LookupError(f"clouds.yaml has no cloud {cloud} with a user, a password and a project: {error}") from error
    domains: dict[str, str] = {name: found.auth.get(name) or "Default" for name in ("user_domain_name", "project_domain_name")}
    where = {"region_name": str(found.region_name or ""), "interface": str(found.get_interface() or "public")}
    return Credentials(**named, **domains, **where, cacert=str(found.cacert or ""), insecure=not found.verify)


class State(enum.StrEnum):
    THERE = "there"
    MADE = "made"
    WOULD = "would be made"
    MISSING = "missing"
    WRONG = "wrong"
    FAILED = "failed"

    @property
    def good(self) -> bool:
        return self in (State.THERE, State.MADE, State.WOULD)


@dataclass(frozen=True)
class Finding:
    """`mend`: what to do about it, for a state that is not good or may turn out not to be."""

    what: str
    name: str
    state: State
    mend: str = ""


@dataclass(frozen=True)
class Endpoint:
    """What the catalog is to say of one of our APIs; the same for all interfaces."""

    type: str
    name: str
    description: str
    url: str


@dataclass(frozen=True)
class Wanted:
    """`public_key`: of the management keypair, where that is to be made; empty text: it is looked for only.  `zone`: for names; empty: none."""

    cidr: str
    region: str
    endpoints: tuple[Endpoint, ...]
    with_servers: bool = True
    public_key: str = ""
    zone: str = ""


class Bootstrap:
    """`services` are the service user's, `operator` those of whoever may change Keystone's catalog; `make`: or look only."""

    def __init__(self, services: Services, operator: Services, settings: Settings, wanted: Wanted, make: bool) -> None:
        self.services, self._operator = services, operator
        self._settings, self._wanted, self._make = settings, wanted, make

    def run(self) -> Iterator[Finding]:
        """Each thing as it is done.  Without a login nothing else can be looked at."""
        user = self._login()
        yield user
        if not user.state.good:
            return
        steps: list[tuple[str, str, Callable[[], Iterator[Finding]]]] = [
            ("endpoint", endpoint.type, self._endpoint(endpoint)) for endpoint in self._wanted.endpoints
        ]
        if self._wanted.with_servers:
            network, group = self._settings.management_network, self._settings.management_security_group
            steps = [("network", network, self._network), ("security group", group, self._group), *steps]
            if self._settings.keypair:
                steps.append(("keypair", self._settings.keypair, self._keypair))
            if self._wanted.zone:
                steps.append(("zone", self._wanted.zone, self._zone))
        for what, name, step in [("roles", "", self._roles), *steps]:
            try:
                yield from step()
            except CloudError as error:
                yield Finding(what, name, State.FAILED, str(error))

    def flavors(self) -> list[Flavor]:
        """Nova's, as far as the service user sees them.  Raises CloudError."""
        raw = self.services.compute.pages("/flavors/detail", "flavors")
        return [Flavor(one["id"], one["name"], one["ram"], one["vcpus"], one["disk"]) for one in raw]

    def _login(self) -> Finding:
        name = self._settings.credentials.username
        try:
            self.services.project_id()
        except CloudError as error:
            return Finding("service user", name, State.FAILED, f"{error}; check [service_credentials]")
        return Finding("service user", name, State.THERE)

    def _roles(self) -> Iterator[Finding]:
        who, roles = self._settings.credentials, set(self.services.roles())
        shown = ", ".join(sorted(roles))
        add = f"openstack role add --user {who.username} --project {who.project_name}"
        if not roles & CHECKS_TOKENS:
            yield Finding("roles", shown, State.MISSING, f"Keystone lets it check no tokens: {add} service")
        elif self._wanted.with_servers and MAKES_PORTS not in roles:
            # It may be enough: only Neutron's own policy knows.
            mend = f"unless Neutron's policy lets it make ports on tenants' networks: {add} admin"
            yield Finding("roles", shown, State.THERE, mend)
        else:
            yield Finding("roles", shown, State.THERE)

    def _network(self) -> Iterator[Finding]:
        name, api = self._settings.management_network, self.services.networks
        described = {"network": {"name": name, "description": PURPOSE}}
        finding, network = self._ensure(
            "network", name, self._one("networks", name), lambda: api.post("/networks", described)["network"]
        )
        yield finding
        cidr = ipaddress.ip_network(self._wanted.cidr)
        subnet = next(iter(api.get("/subnets", network_id=network["id"])["subnets"]), None) if network else None

        def make() -> Json:
            # Its addresses come with the config drive, and the way out is the tenant's network.
            where = {"network_id": network and network["id"], "ip_version": cidr.version, "cidr": str(cidr)}
            return api.post("/subnets", {"subnet": {"name": name, **where, "enable_dhcp": False, "gateway_ip": None}})

        yield self._ensure("subnet", subnet["cidr"] if subnet else str(cidr), subnet, make)[0]

    def _group(self) -> Iterator[Finding]:
        name, api = self._settings.management_security_group, self.services.networks
        described = {"security_group": {"name": name, "description": PURPOSE}}
        found = self._one("security-groups", name, project_id=self.services.project_id())
        finding, group = self._ensure(
            "security group", name, found, lambda: api.post("/security-groups", described)["security_group"]
        )
        yield finding
        port, cidr = self._settings.channel_port, ipaddress.ip_network(self._wanted.cidr)
        rule = next((rule for rule in (group or {}).get("security_group_rules", ()) if lets_in(rule, port, cidr)), None)

        def make() -> Json:
            kind = {"direction": "ingress", "ethertype": f"IPv{cidr.version}", "protocol": "tcp"}
            span = {"port_range_min": port, "port_range_max": port, "remote_ip_prefix": str(cidr)}
            return api.post(
                "/security-group-rules", {"security_group_rule": {"security_group_id": group and group["id"], **kind, **span}}
            )

        yield self._ensure("rule", f"tcp {port} from {cidr}", rule, make)[0]

    def _keypair(self) -> Iterator[Finding]:
        name, key, api = self._settings.keypair, self._wanted.public_key, self.services.compute
        there = next((one for one in api.get("/os-keypairs")["keypairs"] if one["keypair"]["name"] == name), None)
        if there is None and self._make and not key:
            yield Finding("keypair", name, State.MISSING, "say where its private key is to be kept: --private-key FILE")
            return
        body = {"keypair": {"name": name, "public_key": key}}
        yield self._ensure("keypair", name, there, lambda: api.post("/os-keypairs", body))[0]

    def _zone(self) -> Iterator[Finding]:
        """It is never made: who is to be asked about it, and who delegates it, is for people to say."""
        name = self._wanted.zone
        if not self.services.has(DESIGNATE):
            yield Finding("zone", name, State.MISSING, "Designate is not in the catalog: add it, or leave [dns] zone empty")
            return
        zone = zone_of(self.services, name)
        if zone is None:
            project = self._settings.credentials.project_name
            yield Finding("zone", name, State.MISSING, f"in project {project}: openstack zone create --email ADDRESS {name}.")
        elif zone["type"] != "PRIMARY":
            yield Finding("zone", name, State.WRONG, f"it is {zone['type']}, a copy: records are made in a PRIMARY one only")
        elif zone["status"] == "ERROR":
            yield Finding("zone", name, State.WRONG, "its status is ERROR: see what Designate's worker says of its servers")
        else:
            yield Finding("zone", name, State.THERE)

    def _endpoint(self, want: Endpoint) -> Callable[[], Iterator[Finding]]:
        return lambda: self._service(want)

    def _service(self, want: Endpoint) -> Iterator[Finding]:
        api = self._operator.identity
        described = {"service": {"type": want.type, "name": want.name, "description": want.description}}
        found = next(iter(api.get("/services", type=want.type)["services"]), None)
        finding, service = self._ensure("service", want.type, found, lambda: api.post("/services", described)["service"])
        yield finding
        for interface in INTERFACES:
            yield self._interface(want, interface, service["id"] if service else "")

    def _interface(self, want: Endpoint, interface: str, service_id: str) -> Finding:
        api, name = self._operator.identity, f"{want.type} {interface}"
        query = {"service_id": service_id, "interface": interface, "region_id": self._wanted.region}
        found = next(iter(api.get("/endpoints", **query)["endpoints"]), None) if service_id else None
        if found and want.url and found["url"] != want.url:
            mend = f"it is {found['url']}: openstack endpoint set --url '{want.url}' {found['id']}"
            return Finding("endpoint", name, State.WRONG, mend)
        if not found and not want.url:
            return Finding("endpoint", name, State.MISSING, "set [api] public_endpoint to the URL that clients reach the API by")
        return self._ensure("endpoint", name, found, lambda: api.post("/endpoints", {"endpoint": {**query, "url": want.url}}))[0]

    def _ensure(self, what: str, name: str, found: Json | None, make: Callable[[], Json]) -> tuple[Finding, Json | None]:
        if found is not None:
            return Finding(what, name, State.THERE), found
        if not self._make:
            return Finding(what, name, State.WOULD), None
        made = make()
        return Finding(what, name, State.MADE), made

    def _one(self, kind: str, name: str, **mine: str) -> Json | None:
        """By name or id.  Raises CloudError when it can't be told which one is meant."""
        for filters in ({"name": name}, {"id": name}):
            found = self.services.networks.get(f"/{kind}", **mine, **filters)[kind.replace("-", "_")]
            if len(found) > 1:
                raise CloudError(f"there are {len(found)} of that name: configure the id of one", 400)
            if found:
                return dict(found[0])
        return None


def lets_in(rule: Json, port: int, cidr: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether a rule admits TCP to the port from all of the addresses."""
    if rule["direction"] != "ingress" or rule["protocol"] not in (None, "tcp", "6") or rule["remote_group_id"]:
        return False
    if rule["ethertype"] != f"IPv{cidr.version}":
        return False
    lowest, highest = rule["port_range_min"], rule["port_range_max"]
    if lowest is not None and not lowest <= port <= highest:
        return False
    prefix = rule["remote_ip_prefix"]
    if prefix is None:
        return True
    wide = ipaddress.ip_network(prefix)
    return wide.version == cidr.version and int(wide[0]) <= int(cidr[0]) and int(cidr[-1]) <= int(wide[-1])
