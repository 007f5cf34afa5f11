"""Servers.  Each activity may run more than once and finds its earlier work by key."""

from temporalio import activity

from activities.errors import SERVER_FAILED, final
from activities.guest import GuestActivities
from activities.waiting import cloud_calls, until
from clouds.changes import Changes
from clouds.ports import Compute, Flavor, Server, ServerGroups, ServerStatus, WantServer
from models import Database, DatastoreVersion
from models.datastore import FlavorRow
from workflows.contracts import Operation, ServerFacts, Want, WantServerGroup


class NovaActivities:
    def __init__(
        self, compute: Compute, groups: ServerGroups, changes: Changes, database: Database, guests: GuestActivities
    ) -> None:
        self._compute, self._groups, self._changes = compute, groups, changes
        self._database, self._guests = database, guests

    @activity.defn(name="nova.create_server_group", no_thread_cancel_exception=True)
    def create_server_group(self, want: WantServerGroup) -> None:
        with cloud_calls():
            self._groups.create_server_group(want.key, want.op.instance_id, want.policy)

    @activity.defn(name="nova.delete_server_group", no_thread_cancel_exception=True)
    def delete_server_group(self, want: WantServerGroup) -> None:
        with cloud_calls():
            self._groups.delete_server_group(want.key)

    @activity.defn(name="nova.create_server", no_thread_cancel_exception=True)
    def create_server(self, want: Want) -> ServerFacts:
        """Find or create, then see it ACTIVE.  A server that goes to ERROR is final."""
        with cloud_calls(), self._changes.watch(want.key) as watch:
            server = self._compute.create_server(self._described(want))
            if server.status is not ServerStatus.ACTIVE:
                server = until(lambda: self._settled(want.key), watch, seen=True)
        if server.status is ServerStatus.ERROR:
            raise final(SERVER_FAILED, f"The server could not be started: {server.fault or 'no reason given'}")
        return ServerFacts(want.op, server.key, server.address, server.ssh_port)

    @activity.defn(name="nova.delete_server", no_thread_cancel_exception=True)
    def delete_server(self, want: Want) -> None:
        with cloud_calls():
            self._remove(want.key)

    @activity.defn(name="nova.delete_servers_of", no_thread_cancel_exception=True)
    def delete_servers_of(self, op: Operation) -> None:
        """Every server that carries the instance's tag, whichever operation made it, and the groups that kept them apart."""
        with cloud_calls():
            for server in self._compute.servers_of(op.instance_id):
                self._remove(server.key)
            for group in self._groups.server_groups_of(op.instance_id):
                self._groups.delete_server_group(group.key)

    @activity.defn(name="nova.attach_volume", no_thread_cancel_exception=True)
    def attach_volume(self, want: Want) -> None:
        with cloud_calls():
            self._compute.attach_volume(want.key, want.volume_key)

    @activity.defn(name="nova.start_server", no_thread_cancel_exception=True)
    def start_server(self, want: Want) -> None:
        """Off, if it is on, and on again: what was enabled in the guest comes back, with the volume that it has now."""
        with cloud_calls():
            self._compute.reboot_server(want.key)
            server = until(lambda: self._settled(want.key))
        if server.status is ServerStatus.ERROR:
            raise final(SERVER_FAILED, f"The server could not be started: {server.fault or 'no reason given'}")

    def _remove(self, key: str) -> None:
        with self._changes.watch(key) as watch:
            self._compute.delete_server(key)
            until(lambda: True if self._compute.show_server(key) is None else None, watch)

    def _settled(self, key: str) -> Server | None:
        server = self._compute.show_server(key)
        return server if server and server.status in (ServerStatus.ACTIVE, ServerStatus.ERROR) else None

    def _described(self, want: Want) -> WantServer:
        with self._database.read() as s:
            flavor = s.get_one(FlavorRow, want.flavor_id)
            version = s.get_one(DatastoreVersion, want.datastore_version_id)
        return WantServer(
            key=want.key,
            owner=want.op.instance_id,
            name=want.name,
            flavor=Flavor(flavor.id, flavor.name, flavor.ram_mb, flavor.vcpus, flavor.disk_gb),
            image_id=version.image_id,
            port_key=want.port_key,
            volume_key=want.volume_key,
            boot=self._guests.boot(want.op.instance_id, version, flavor.ram_mb),
            user_port_key=want.user_port_key or None,
            root_volume_key=want.root_volume_key or None,
            group_key=want.group_key or None,
            availability_zone=want.availability_zone or None,
        )
