"""Taking over the pools and flavors of an existing Zaqar from its management database, in the shape with or without pool groups.

    plan = Importer(messaging).plan(url)      # reads both sides, connects to the pools, writes nothing
    for finding in plan.findings(): print(*finding)
    if plan.ready:
        Importer(messaging).apply(plan)       # can be repeated; what is there already is left alone; `undo` takes it back

A pool gets the flavor it names itself, otherwise the one whose pool_group is its group.  Queues and messages stay where they are.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from messaging.drivers.registry import capabilities_of, scheme_of
from messaging.errors import FlavorNotFound, InvalidRequest, MessagingError, PoolNotFound
from messaging.service import Messaging
from messaging.stores import probe
from messaging.values import Pool
from messaging.zaqar import OldPool, OldShape, read


class Finding(NamedTuple):
    """`action`: stop (nothing can be written before that is settled), note, add or same (as here already)."""

    action: str
    kind: str
    """group, pool or flavor"""
    name: str
    detail: str


@dataclass(frozen=True)
class Plan:
    new_pools: tuple[OldPool, ...]
    """Those to be added, with the flavor they will have."""
    new_flavors: Mapping[str, tuple[str, ...]]
    known_pools: tuple[str, ...]
    """Those that are here already just so."""
    known_flavors: tuple[str, ...]
    shared_groups: Mapping[str, tuple[str, ...]]
    """Groups that several flavors name: a pool has one flavor, so somebody must choose (`flavor_of_group`)."""
    pools_without_flavor: tuple[str, ...]
    flavors_without_pools: tuple[str, ...]
    kept: Mapping[str, str]
    """Pools whose own flavor is another one than their group's; they keep their own."""
    refused: Mapping[str, str]
    """Pools and flavors that cannot be taken over, and why."""
    queues: int

    @property
    def ready(self) -> bool:
        return not self.shared_groups and not self.refused

    def findings(self) -> Iterator[Finding]:
        for group, flavors in self.shared_groups.items():
            yield Finding("stop", "group", group, f"is shared by the flavors {', '.join(flavors)}: say which one gets its pools")
        for named, reason in self.refused.items():
            kind, name = named.split(" ", 1)
            yield Finding("stop", kind, name, reason)
        for name in self.pools_without_flavor:
            yield Finding("note", "pool", name, "has no flavor: it will take queues without flavor")
        for name in self.flavors_without_pools:
            yield Finding("note", "flavor", name, "has no pools: no queue can be placed by it")
        for name, flavor in self.kept.items():
            yield Finding("note", "pool", name, f"keeps its own flavor {flavor}, which is not its group's")
        for pool in self.new_pools:
            yield Finding("add", "pool", pool.name, f"weight {pool.weight}, flavor {pool.flavor or '-'}")
        for name, pools in self.new_flavors.items():
            yield Finding("add", "flavor", name, ", ".join(pools) or "no pools")
        for name in self.known_pools:
            yield Finding("same", "pool", name, "")
        for name in self.known_flavors:
            yield Finding("same", "flavor", name, "")


class Importer:
    def __init__(self, messaging: Messaging) -> None:
        self._messaging = messaging

    def plan(self, url: str, *, flavor_of_group: Mapping[str, str] | None = None, uris: Mapping[str, str] | None = None) -> Plan:
        """`flavor_of_group` decides shared groups; `uris` gives pools a store of Coffer's instead of their old one.
        Raises NotZaqar, UnsupportedUri."""
        old = read(url)
        chosen = dict(flavor_of_group or {})
        of_group = _flavors_by_group(old)
        shared = {group: names for group, names in of_group.items() if len(names) > 1 and chosen.get(group) not in names}
        only = {group: chosen.get(group, names[0]) for group, names in of_group.items() if group not in shared}
        pools = [_converted(pool, only, (uris or {}).get(pool.name, pool.uri)) for pool in old.pools]
        members = {name: tuple(sorted(p.name for p in pools if p.flavor == name)) for name in sorted(old.flavors)}
        refused = self._refused_pools(pools) | _mixed(pools) | self._refused_flavors(members) | _ambiguous(old)
        new = tuple(pool for pool in pools if self._here(pool.name) is None and f"pool {pool.name}" not in refused)
        new_flavors = {name: some for name, some in members.items() if not self._has_flavor(name)}
        return Plan(
            new_pools=new,
            new_flavors=new_flavors,
            known_pools=tuple(p.name for p in pools if self._here(p.name) is not None and f"pool {p.name}" not in refused),
            known_flavors=tuple(name for name in members if name not in new_flavors and f"flavor {name}" not in refused),
            shared_groups=shared,
            pools_without_flavor=tuple(p.name for p in pools if p.flavor is None and p.group not in shared),
            flavors_without_pools=tuple(name for name, some in members.items() if not some and old.flavors[name] not in shared),
            kept={p.name: p.flavor for p in pools if p.flavor and p.group in only and only[p.group] != p.flavor},
            refused=refused,
            queues=old.queues,
        )

    def apply(self, plan: Plan) -> None:
        """Raises InvalidRequest when the plan is not ready, and what Pools.put and Flavors.put raise."""
        if not plan.ready:
            raise InvalidRequest("The plan has points that stop it.")
        for pool in plan.new_pools:
            values = {"uri": pool.uri, "weight": pool.weight, "options": dict(pool.options), "flavor": pool.flavor}
            self._messaging.pools.put(pool.name, values)
        for name, pools in plan.new_flavors.items():
            if pools:
                self._messaging.flavors.put(name, list(pools))
            else:
                self._messaging.flavors.put_empty(name)

    def undo(self, plan: Plan) -> None:
        """Remove the pools and flavors that are here just as the plan would make them, all or none; Zaqar's database has them still.
        Raises PoolHasQueues: what is in such a pool would be lost."""
        self._messaging.pools.delete_all(plan.known_pools, plan.known_flavors)

    def _refused_pools(self, pools: Sequence[OldPool]) -> dict[str, str]:
        refused: dict[str, str] = {}
        stores: dict[str, str] = {}
        for pool in pools:
            try:
                here = self._here(pool.name)
                if here is None:
                    twin = stores.setdefault(probe(pool.uri), pool.name)
                    if twin != pool.name:
                        refused[f"pool {pool.name}"] = f"it is the same store as pool {twin}"
                elif (here.uri, here.weight, here.flavor) != (pool.uri, pool.weight, pool.flavor):
                    refused[f"pool {pool.name}"] = "there is one of this name with another uri, weight or flavor"
            except MessagingError as e:
                refused[f"pool {pool.name}"] = str(e)
        return refused

    def _refused_flavors(self, members: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
        other = "there is one of this name with other pools"
        return {f"flavor {name}": other for name, pools in members.items() if self._has_flavor(name, unlike=pools)}

    def _here(self, name: str) -> Pool | None:
        try:
            return self._messaging.pools.get(name)
        except PoolNotFound:
            return None

    def _has_flavor(self, name: str, unlike: tuple[str, ...] | None = None) -> bool:
        try:
            return self._messaging.flavors.get(name).pool_list != unlike
        except FlavorNotFound:
            return False


def _flavors_by_group(old: OldShape) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = defaultdict(list)
    for flavor, group in sorted(old.flavors.items()):
        if group is not None:
            found[group].append(flavor)
    return {group: tuple(names) for group, names in found.items()}


def _ambiguous(old: OldShape) -> dict[str, str]:
    several = (
        "several projects have one of this name with different pool groups, and names are of all projects here: rename it there"
    )
    return {f"flavor {name}": several for name in old.ambiguous}


def _converted(pool: OldPool, flavor_of: Mapping[str, str], uri: str) -> OldPool:
    flavor = pool.flavor or (flavor_of.get(pool.group) if pool.group else None)
    return OldPool(pool.name, uri, pool.weight, pool.options, pool.group, flavor)


def _mixed(pools: Sequence[OldPool]) -> dict[str, str]:
    given: dict[str, set[frozenset[str]]] = defaultdict(set)
    for pool in pools:
        if pool.flavor is not None:
            try:
                given[pool.flavor].add(frozenset(capabilities_of(scheme_of(pool.uri))))
            except MessagingError:
                # Such a pool is refused by its own name.
                continue
    return {f"flavor {name}": "its pools do not give the same capabilities" for name, sets in given.items() if len(sets) > 1}
