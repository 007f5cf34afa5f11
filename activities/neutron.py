"""Ports: the addresses of servers."""

from temporalio import activity

from activities.waiting import cloud_calls
from clouds.ports import Networks, WantPort
from workflows.contracts import Operation, Want


class NeutronActivities:
    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    @activity.defn(name="neutron.create_port", no_thread_cancel_exception=True)
    def create_port(self, want: Want) -> str:
        """Find or create; gives its address."""
        with cloud_calls():
            return self._networks.create_port(WantPort(want.key, want.op.instance_id)).address

    @activity.defn(name="neutron.delete_port", no_thread_cancel_exception=True)
    def delete_port(self, want: Want) -> None:
        with cloud_calls():
            self._networks.delete_port(want.key)

    @activity.defn(name="neutron.delete_ports_of", no_thread_cancel_exception=True)
    def delete_ports_of(self, op: Operation) -> None:
        with cloud_calls():
            for port in self._networks.ports_of(op.instance_id):
                self._networks.delete_port(port.key)
