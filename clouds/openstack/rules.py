"""Security groups of management ports, the rules of the one that `coffer openstack bootstrap` has made, and those of tenants' groups.

A group that somebody else has made is the operator's business: only that it lets the channel in is looked at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from clouds.openstack.access import NeutronAccess, inward_rule
from clouds.openstack.bootstrap import PURPOSE
from clouds.openstack.calls import Json, Refused, Services
from clouds.openstack.marks import OWNED
from clouds.openstack.settings import Settings
from clouds.ports import CloudError, Port, WantGroup, WrongRule

RULE, GROUP, PORT = "security rule", "security group", "port"
LONGEST = 250
MANAGEMENT_PORT = "-port"
"""How the keys of ports on the management network end."""


class SecurityRules:
    def __init__(self, services: Services, settings: Settings, access: NeutronAccess) -> None:
        self._services, self._settings, self._access = services, settings, access

    def wrong(self, ours: Callable[[Port], bool], wanted: Sequence[WantGroup] = ()) -> list[WrongRule]:
        group = self._group()
        network = self._one("networks", self._settings.management_network)["id"]
        raws = list(self._services.networks.pages("/ports", "ports", network_id=network))
        members = [raw for raw in raws if group["id"] in raw["security_groups"]]
        is_shared = any(not ours(_port(raw)) for raw in members)
        of_tenants = self._wrong_groups({want.key: want for want in wanted}) if wanted else ()
        return [*self._wrong_rules(group, is_shared), *self._wrong_ports(group, raws, ours), *of_tenants]

    def mend(self, rule: WrongRule, wanted: Sequence[WantGroup] = ()) -> None:
        networks = self._services.networks
        if rule.thing == PORT:
            networks.put(f"/ports/{rule.id}", {"port": {"security_groups": [self._group()["id"]]}})
        elif rule.thing == GROUP:
            for want in (want for want in wanted if want.key == rule.key):
                self._access.create_group(want)
        elif rule.id:
            networks.delete(f"/security-group-rules/{rule.id}")
        else:
            for channel in self._channel_rules():
                self._add(channel)

    def _wrong_groups(self, wanted: Mapping[str, WantGroup]) -> Iterator[WrongRule]:
        """Of tenants' ports."""
        for raw in self._access.raw_groups():
            if want := wanted.get(raw["name"]):
                inward = [rule for rule in raw["security_group_rules"] if rule["direction"] == "ingress"]
                has, should = {_said(rule) for rule in inward}, {f"tcp {want.port} from {cidr}" for cidr in want.cidrs}
                if has != should:
                    wrong = f"lets in {', '.join(sorted(has)) or 'nothing'} instead of {', '.join(sorted(should))}"
                    yield WrongRule(GROUP, want.key, raw["id"], want.owner, wrong[:LONGEST], mendable=True)

    def _wrong_rules(self, group: Json, is_shared: bool) -> Iterator[WrongRule]:
        made_by_us, name = group["description"] == PURPOSE, group["name"]
        inward = [rule for rule in group["security_group_rules"] if rule["direction"] == "ingress"]
        port = self._settings.channel_port
        if not any(_lets_in(rule, port) for rule in inward):
            yield WrongRule(RULE, name, "", "", f"that lets tcp {port} in is missing", made_by_us)
        for rule in inward if made_by_us else ():
            if not _is_channel(rule, port):
                yield WrongRule(RULE, name, rule["id"], "", f"lets in {_said(rule)}, which Coffer has not made", not is_shared)

    def _wrong_ports(self, group: Json, raws: list[Json], ours: Callable[[Port], bool]) -> Iterator[WrongRule]:
        for raw in raws:
            port = _port(raw)
            ours_here = raw["description"].startswith(OWNED) and port.key.endswith(MANAGEMENT_PORT) and ours(port)
            if ours_here and raw["security_groups"] != [group["id"]]:
                has = ", ".join(sorted(raw["security_groups"])) or "none"
                yield WrongRule(PORT, port.key, port.id, port.owner, f"has other security groups: {has}", mendable=True)

    def _add(self, wanted: Json) -> None:
        try:
            self._services.networks.post("/security-group-rules", {"security_group_rule": wanted})
        except Refused as error:
            if error.status != 409:  # there is one already
                raise

    def _channel_rules(self) -> list[Json]:
        network, group = self._one("networks", self._settings.management_network), self._group()
        subnets = self._services.networks.get("/subnets", network_id=network["id"])["subnets"]
        return [inward_rule(group["id"], self._settings.channel_port, subnet["cidr"]) for subnet in subnets]

    def _group(self) -> Json:
        return self._one("security-groups", self._settings.management_security_group, self._services.project_id())

    def _one(self, kind: str, name: str, project: str = "") -> Json:
        """By name or id.  Raises CloudError 400."""
        mine = {"project_id": project} if project else {}
        for filters in ({"name": name}, {"id": name}):
            found = self._services.networks.get(f"/{kind}", **mine, **filters)[kind.replace("-", "_")]
            if len(found) == 1:
                return dict(found[0])
        raise CloudError(f"Neutron has none, or several, of {kind} called {name}, which is configured.", 400)


def _port(raw: Json) -> Port:
    return Port(raw["id"], raw["name"], raw["description"].removeprefix(OWNED), "", raw["network_id"])


def _lets_in(rule: Json, port: int) -> bool:
    """Whether anybody at all may come to the port."""
    low, high = rule["port_range_min"], rule["port_range_max"]
    return rule["protocol"] in (None, "tcp", "6") and (low is None or low <= port <= high)


def _is_channel(rule: Json, port: int) -> bool:
    return rule["protocol"] in ("tcp", "6") and rule["port_range_min"] == rule["port_range_max"] == port


def _said(rule: Json) -> str:
    low, high = rule["port_range_min"], rule["port_range_max"]
    span = "" if low is None else f" {low}" if low == high else f" {low}-{high}"
    whom = rule["remote_ip_prefix"] or rule["remote_group_id"] or "everywhere"
    return f"{rule['protocol'] or 'everything'}{span} from {whom}"
