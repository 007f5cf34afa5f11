"""Which pool belongs to which flavor: one truth (the pool's `flavor`), looked at from both sides, checked on every path."""

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from messaging.drivers.registry import capabilities_of
from messaging.errors import FlavorWouldBeEmpty, MixedCapabilities
from messaging.values import Capability
from models.messaging import MessagingFlavorRow, PoolRow

Bindings = Mapping[str, Mapping[str, str]]
"""The pools of each flavor, with the scheme of their URIs."""


def bindings(s: Session) -> Bindings:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for row in s.execute(select(PoolRow.name, PoolRow.flavor, PoolRow.scheme).where(PoolRow.flavor.is_not(None))):
        found[str(row.flavor)][row.name] = row.scheme
    return found


def check_bindings(s: Session, before: Bindings) -> None:
    """To be called after the change, in its transaction.  Raises FlavorWouldBeEmpty, MixedCapabilities."""
    s.flush()
    after = bindings(s)
    lost = [name for name in before if name not in after]
    emptied = s.scalars(select(MessagingFlavorRow.name).where(MessagingFlavorRow.name.in_(lost))).all()
    if emptied:
        raise FlavorWouldBeEmpty(f"This would take the last pool of flavor {sorted(emptied)[0]}.")
    for flavor, pools in after.items():
        if pools != before.get(flavor):
            _check_alike(flavor, pools)


def _check_alike(flavor: str, pools: Mapping[str, str]) -> None:
    if len({capabilities_of(scheme) for scheme in pools.values()}) > 1:
        given = ", ".join(f"{name}: {' '.join(shown(capabilities_of(scheme)))}" for name, scheme in sorted(pools.items()))
        raise MixedCapabilities(f"The pools of flavor {flavor} must give the same capabilities ({given}).")


def common(pools: Mapping[str, str]) -> tuple[str, ...]:
    """What every one of the pools gives."""
    sets = [capabilities_of(scheme) for scheme in pools.values()]
    return shown(frozenset.intersection(*sets)) if sets else ()


def shown(capabilities: frozenset[Capability]) -> tuple[str, ...]:
    return tuple(str(one) for one in Capability if one in capabilities)
