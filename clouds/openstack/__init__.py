"""OpenStack: servers in Nova, data volumes in Cinder, ports in Neutron, objects in Swift, names in Designate, all in the project of the service user.

Retrying is left to the caller: no call is made twice by itself, and each ends within `Settings.call_timeout`.
"""

from clouds.openstack.access import NeutronAccess
from clouds.openstack.calls import OnCall, Services
from clouds.openstack.compute import NovaServers
from clouds.openstack.dns import DesignateNames
from clouds.openstack.groups import NovaServerGroups
from clouds.openstack.networks import Ports
from clouds.openstack.objects import SwiftObjects
from clouds.openstack.rules import SecurityRules
from clouds.openstack.settings import Credentials, Settings, settings_of
from clouds.openstack.tenants import TenantNetworks
from clouds.openstack.volumes import CinderVolumes
from clouds.ports import Cloud, Tenants

__all__ = ["Credentials", "Services", "Settings", "cloud_of", "openstack_cloud", "openstack_tenants", "settings_of"]


def openstack_cloud(settings: Settings, on_call: OnCall = lambda method, url: None) -> Cloud:
    """The cloud as the service user sees it; `on_call` is told of each HTTP request."""
    return cloud_of(Services(settings, on_call), settings)


def cloud_of(services: Services, settings: Settings) -> Cloud:
    access, groups = NeutronAccess(services), NovaServerGroups(services)
    ports, volumes = Ports(services, settings, access), CinderVolumes(services, settings)
    servers = NovaServers(services, settings, ports, volumes, groups)
    objects, names = SwiftObjects(services, settings), DesignateNames(services, settings)
    rules = SecurityRules(services, settings, access)
    return Cloud(
        networks=ports,
        volumes=volumes,
        compute=servers,
        access=access,
        groups=groups,
        objects=objects,
        names=names,
        rules=rules,
    )


def openstack_tenants(settings: Settings, on_call: OnCall = lambda method, url: None) -> Tenants:
    """The cloud as its tenants see it."""
    return TenantNetworks(Services(settings, on_call), settings)
