"""OpenStack: servers in Nova, data volumes in Cinder, ports in Neutron, all in the project of the service user.

Retrying is left to the caller: no call is made twice by itself, and each ends within `Settings.call_timeout`.
"""

from clouds.openstack.calls import OnCall, Services
from clouds.openstack.compute import NovaServers
from clouds.openstack.networks import Ports
from clouds.openstack.rules import SecurityRules
from clouds.openstack.settings import Credentials, Settings
from clouds.openstack.volumes import CinderVolumes
from clouds.ports import Cloud

__all__ = ["Credentials", "Services", "Settings", "cloud_of", "openstack_cloud"]


def openstack_cloud(settings: Settings, on_call: OnCall = lambda method, url: None) -> Cloud:
    """The cloud as the service user sees it; `on_call` is told of each HTTP request."""
    return cloud_of(Services(settings, on_call), settings)


def cloud_of(services: Services, settings: Settings) -> Cloud:
    ports, volumes = Ports(services, settings), CinderVolumes(services, settings)
    compute = NovaServers(services, settings, ports, volumes)
    return Cloud(networks=ports, volumes=volumes, compute=compute, rules=SecurityRules(services, settings))
