"""The same OpenStack calls that a create makes, by hand with openstacksdk, one after the other; then the guest's own job."""

import itertools
import time
from typing import Any

from clouds.openstack.userdata import user_data
from clouds.ports import GuestBoot
from guests.jobs import run_job
from guests.keys import KeyPair
from guests.pool import GuestPool
from guests.transport import Endpoint
from tests.support.testbed import MANAGEMENT, Bed

LOOK_SECONDS = 0.2
WITHIN = 600
CHANNEL = 2222


def bare_create(
    bed: Bed, image_id: str, boot: GuestBoot, login: KeyPair, host: KeyPair, spec: dict[str, Any]
) -> dict[str, float]:
    """Seconds of each part.  What was made is removed, which is not in them."""
    network, volumes, compute = bed.service.network, bed.service.block_storage, bed.service.compute
    marks = [time.monotonic()]

    where = network.find_network(MANAGEMENT, ignore_missing=False)
    group = network.find_security_group(MANAGEMENT, ignore_missing=False)
    port = network.create_port(name=boot.instance_id, network_id=where.id, security_group_ids=[group.id])
    address = port.fixed_ips[0]["ip_address"]
    marks.append(time.monotonic())

    volume = volumes.create_volume(name=boot.instance_id, size=1)
    volumes.wait_for_status(volume, "available", interval=LOOK_SECONDS, wait=WITHIN)
    marks.append(time.monotonic())

    data = user_data(boot, address=address, channel_port=CHANNEL, volume_id=volume.id)
    root = {"boot_index": 0, "source_type": "image", "destination_type": "local", "uuid": image_id, "delete_on_termination": True}
    disk = {"boot_index": -1, "source_type": "volume", "destination_type": "volume", "uuid": volume.id}
    what = {"name": boot.instance_id, "image_id": image_id, "flavor_id": bed.flavor_id, "networks": [{"port": port.id}]}
    server = compute.create_server(**what, user_data=data, config_drive=True, block_device_mapping=[root, disk])
    compute.wait_for_server(server, interval=LOOK_SECONDS, wait=WITHIN)
    marks.append(time.monotonic())

    pool = GuestPool()
    guest = Endpoint(boot.instance_id, address, CHANNEL, login.private, host.public)
    run_job(
        lambda: pool.connected(guest),
        "bare-prepare",
        1,
        "prepare",
        spec,
        on_progress=lambda _: None,
        pause=lambda _: time.sleep(LOOK_SECONDS),
    )
    marks.append(time.monotonic())

    pool.close()
    compute.delete_server(server)
    compute.wait_for_delete(server, interval=LOOK_SECONDS, wait=WITHIN)
    volumes.delete_volume(volume)
    network.delete_port(port)
    volumes.wait_for_delete(volume, interval=LOOK_SECONDS, wait=WITHIN)
    return dict(zip(("port", "volume", "server", "guest"), (b - a for a, b in itertools.pairwise(marks)), strict=True))
