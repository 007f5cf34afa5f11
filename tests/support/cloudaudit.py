"""Whatever the service project holds in Nova, Placement, Neutron, Cinder, Glance, Swift and Designate.

It is the same before and after, where nothing may stay.  Asked through openstacksdk's own resource classes, without Coffer's driver.
"""

from collections.abc import Iterator

from tests.support.local_guest import eventually
from tests.support.testbed import Bed

PLACEMENT = "1.9"
HEARD_WITHIN = 10.0
"""Seconds until Placement and Cinder have heard of what Nova has removed."""


def audit(bed: Bed) -> list[str]:
    """Each thing as service, kind and name."""
    found = [*_nova(bed), *_placement(bed), *_neutron(bed), *_cinder(bed), *_glance(bed), *_swift(bed), *_designate(bed)]
    return sorted(found)


def more_than(bed: Bed, before: list[str]) -> list[str]:
    """What there is besides `before`; a moment is left to the services to tell each other."""
    more: list[str] = []

    def is_as_before() -> bool:
        more[:] = sorted(set(audit(bed)) - set(before))
        return not more

    eventually(is_as_before, HEARD_WITHIN)
    return more


def _nova(bed: Bed) -> Iterator[str]:
    compute = bed.service.compute
    yield from (f"nova server {one.name}" for one in compute.servers(details=False))
    yield from (f"nova keypair {one.name}" for one in compute.keypairs())
    yield from (f"nova server group {one.name}" for one in compute.server_groups())


def _placement(bed: Bed) -> Iterator[str]:
    """Allocations, as the sum that the project uses of each kind."""
    answer = bed.operator.placement.get(f"/usages?project_id={bed.service.current_project_id}", microversion=PLACEMENT)
    answer.raise_for_status()
    yield from (f"placement {kind} {used}" for kind, used in answer.json()["usages"].items() if used)


def _neutron(bed: Bed) -> Iterator[str]:
    network, project = bed.service.network, bed.service.current_project_id
    ports = network.ports(project_id=project)
    yield from (f"neutron port {one.name or one.id}" for one in ports if not one.device_owner.startswith("network:"))
    yield from (f"neutron floating ip {one.floating_ip_address}" for one in network.ips(project_id=project))
    yield from (f"neutron network {one.name}" for one in network.networks(project_id=project))
    for group in network.security_groups(project_id=project):
        yield f"neutron security group {group.name}"
        yield from (f"neutron rule {rule['id']} of {group.name}" for rule in group.security_group_rules)


def _cinder(bed: Bed) -> Iterator[str]:
    volumes = bed.service.block_storage
    yield from (f"cinder volume {one.name}" for one in volumes.volumes(details=False))
    yield from (f"cinder snapshot {one.name}" for one in volumes.snapshots(details=False))
    yield from (f"cinder attachment {one.id}" for one in volumes.attachments())


def _glance(bed: Bed) -> Iterator[str]:
    owned = bed.service.image.images(owner=bed.service.current_project_id)
    yield from (f"glance image {one.name}" for one in owned)


def _swift(bed: Bed) -> Iterator[str]:
    if not bed.service.has_service("object-store"):
        return
    for container in bed.service.object_store.containers():
        yield f"swift container {container.name}"
        yield from (f"swift object {container.name}/{one.name}" for one in bed.service.object_store.objects(container))


def _designate(bed: Bed) -> Iterator[str]:
    yield from (f"designate record {name}" for name in bed.names())
