"""The world of tests/support/world.py with an OpenStack in the place of the local cloud."""

import sys
from pathlib import Path
from typing import Any

from clouds.ports import CloudError, VolumeStatus
from models import Instance
from tests.support.cloudaudit import audit, more_than
from tests.support.testbed import MANAGEMENT, POLL_SECONDS, Bed
from tests.support.world import ROOT, Temporal, World, Zygote

TIMEOUT_SCALE = 0.3
"""A dead worker is noticed within seconds, and an API that takes one is not taken for dead."""


class OpenStackWorld(World):
    patience = 240.0

    def __init__(
        self,
        bed: Bed,
        temporal: Temporal,
        zygote: Zygote,
        *,
        flavor_id: str = "",
        image_id: str = "",
        no_progress_deadline: float = 60.0,
        options: str = "",
        **cloud: Any,
    ) -> None:
        """`cloud`: more options of [cloud]."""
        self.bed = bed
        self._cloud = cloud
        self._no_progress_deadline = no_progress_deadline
        self._before = audit(bed)
        self.manager = "stub"
        self.flavor_id = flavor_id or bed.flavor_id
        self.image_id = image_id or bed.image(self.agent_module, guest_command(self.agent_module))
        super().__init__(temporal, zygote, options=options)

    def _cloud_options(self) -> str:
        return cloud_options(self.bed, **self._cloud)

    def _guest_options(self) -> str:
        return f"{super()._guest_options()}\nno_progress_deadline = {self._no_progress_deadline}"

    def take_away(self, instance_id: str) -> None:
        (server,), (volume,) = self.cloud.compute.servers_of(instance_id), self.cloud.volumes.volumes_of(instance_id)
        compute = self.bed.service.compute
        compute.delete_volume_attachment(server.id, volume.id)
        self.eventually(lambda: self.cloud.volumes.volumes_of(instance_id)[0].status is VolumeStatus.AVAILABLE, self.patience)
        self.switch_off(instance_id)

    def switch_off(self, instance_id: str) -> None:
        (server,) = self.cloud.compute.servers_of(instance_id)
        self.bed.service.compute.stop_server(server.id)

    def left(self) -> list[str]:
        return more_than(self.bed, self._before)

    def doubled(self) -> list[int]:
        """Nova runs each server once."""
        return []

    def _empty_cloud(self) -> None:
        with self.database.read() as s:
            owners = [i.id for i in s.query(Instance)]
        cloud = self.bed.connect()

        def emptied() -> bool:
            for owner in owners:
                for record in cloud.names.records_of(owner):
                    cloud.names.delete_record(record.key)
                for server in cloud.compute.servers_of(owner):
                    cloud.compute.delete_server(server.key)
                for volume in cloud.volumes.volumes_of(owner):
                    cloud.volumes.delete_volume(volume.key)
                cloud.access.delete_floating_ips(owner)
                for port in cloud.networks.ports_of(owner):
                    cloud.networks.delete_port(port.key)
                for group in cloud.access.groups_of(owner):
                    cloud.access.delete_group(group.key)
                for servers in cloud.groups.server_groups_of(owner):
                    cloud.groups.delete_server_group(servers.key)
            return self.left() == []

        def tried() -> bool:
            try:
                return emptied()
            except CloudError:
                return False

        self.eventually(tried, self.patience)


def guest_command(agent_module: str) -> str:
    """What an image with this checkout in it runs at each boot."""
    python = Path(sys.executable)
    boot = f"{python} -S -m guest_agent.boot --agent-module {agent_module}"
    return f"exec env PYTHONPATH={ROOT} PYTHONSAFEPATH=1 {boot}"


def cloud_options(bed: Bed, **more: Any) -> str:
    """Of the configuration file: `more` are options of [cloud]."""
    credentials = bed.credentials
    cloud = {"driver": "openstack", "poll_interval": POLL_SECONDS, **more}
    options = "\n".join(f"{name} = {value}" for name, value in cloud.items())
    return f"""
[cloud]
{options}
[service_credentials]
auth_url = {credentials.auth_url}
username = {credentials.username}
password = {credentials.password}
project_name = {credentials.project_name}
region_name = {credentials.region_name}
interface = {credentials.interface}
[network]
management_network = {MANAGEMENT}
management_security_group = {MANAGEMENT}
"""
