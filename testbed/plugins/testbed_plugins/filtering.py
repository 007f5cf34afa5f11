"""Keeps this host's nftables as Neutron's database says."""
import ipaddress
import threading

from neutron_lib.callbacks import events
from neutron_lib.callbacks import registry
from neutron_lib.callbacks import resources
from neutron_lib import context
from neutron_lib.plugins import constants
from neutron_lib.plugins import directory
from oslo_log import log as logging

from testbed import filters

LOG = logging.getLogger(__name__)
WATCHED = (resources.PORT, resources.SECURITY_GROUP,
           resources.SECURITY_GROUP_RULE, resources.FLOATING_IP,
           resources.ROUTER, resources.ROUTER_INTERFACE,
           resources.ROUTER_GATEWAY, resources.SUBNET)
AFTER = (events.AFTER_CREATE, events.AFTER_UPDATE, events.AFTER_DELETE)
GATHER = 0.05


class Filtering:
    """One thread, woken by every change; several changes make one turn."""

    def __init__(self):
        self._changed = threading.Event()
        self._changed.set()
        self._last = ''
        for resource in WATCHED:
            for event in AFTER:
                registry.subscribe(self._heard, resource, event)
        threading.Thread(target=self._work, daemon=True).start()

    def _heard(self, resource, event, trigger, payload=None):
        self._changed.set()

    def _work(self):
        never = threading.Event()
        while True:
            self._changed.wait()
            never.wait(GATHER)
            self._changed.clear()
            try:
                loaded = self._turn()
            except Exception:
                LOG.exception('the filters are not up to date')
                loaded = False
            if not loaded:
                never.wait(1)
                self._changed.set()

    def _turn(self):
        core, router = (directory.get_plugin(kind) for kind in
                        (constants.CORE, constants.L3))
        if core is None or router is None:
            return False
        admin = context.get_admin_context()
        subnets = core.get_subnets(admin)
        outside = {network['id'] for network in core.get_networks(
            admin, filters={'router:external': [True]})}
        text = filters.ruleset(
            core.get_ports(admin), core.get_security_group_rules(admin),
            router.get_routers(admin), router.get_floatingips(admin),
            [one for one in subnets if one['network_id'] not in outside])
        if text != self._last:
            filters.outside_up(
                _gateway(one) for one in subnets
                if one['network_id'] in outside and one['ip_version'] == 4)
            filters.apply(text)
            self._last = text
        return True


def _gateway(subnet):
    network = ipaddress.ip_network(subnet['cidr'])
    address = subnet['gateway_ip'] or network[1]
    return f'{address}/{network.prefixlen}'
