"""Whether the services answer the service user: one small request of each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from clouds.openstack.calls import Services
from clouds.openstack.dns import DESIGNATE
from clouds.ports import CloudError

OBJECT_STORE = "object-store"


@dataclass(frozen=True)
class Probe:
    """`error`: what was said instead of an answer; empty text: it answers.  `optional`: not in the catalog, and need not be."""

    service: str
    error: str = ""
    optional: bool = False


def probes(services: Services) -> Iterator[Probe]:
    """Nova, Neutron, Cinder, Glance, and Swift and Designate where the catalog has them.  Each as it answers."""
    asks: tuple[tuple[str, Callable[[], object]], ...] = (
        ("Nova", lambda: services.compute.get("/limits")),
        ("Neutron", lambda: services.networks.get("/networks", limit=1, fields="id")),
        ("Cinder", lambda: services.volumes.get("/limits")),
        ("Glance", lambda: services.images.get("/images", limit=1)),
    )
    for name, ask in asks:
        yield _probe(name, ask)
    yield _optional(services, "Swift", OBJECT_STORE, lambda: services.objects.get("", limit=0))
    yield _optional(services, "Designate", DESIGNATE, lambda: services.names.get("/zones", limit=1))


def _optional(services: Services, name: str, service_type: str, ask: Callable[[], object]) -> Probe:
    try:
        if not services.has(service_type):
            return Probe(name, optional=True)
    except CloudError as error:
        return Probe(name, str(error))
    return _probe(name, ask)


def _probe(name: str, ask: Callable[[], object]) -> Probe:
    try:
        ask()
    except CloudError as error:
        return Probe(name, str(error))
    return Probe(name)
