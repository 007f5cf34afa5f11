"""Servers: a directory, an address and detached processes that outlive the worker."""

import shutil
from pathlib import Path

from clouds.local import images, initprocess, layout, volumes
from clouds.local.layout import Place, Programs
from clouds.local.state import Record, State, short_id
from clouds.ports import CloudError, Server, ServerStatus, WantServer


class LocalCompute:
    def __init__(self, state: State, programs: Programs, ssh_port: int) -> None:
        self._state = state
        self._programs = programs
        self._ssh_port = ssh_port

    def create_server(self, want: WantServer) -> Server:
        id = short_id(want.key)
        with self._state.working_on(id):
            record = self._state.servers.read(id)
            if record and record["phase"] == "deleting":
                self._destroy(record)
                record = None
            if record is None:
                record = self._reserve(id, want)
            if record["phase"] == "creating":
                layout.write_server(self._place(record), want.boot, self._programs)
                self._start(record)
            return self._server(record)

    def show_server(self, key: str) -> Server | None:
        record = self._state.servers.read(short_id(key))
        return self._server(record) if record else None

    def servers_of(self, owner: str) -> list[Server]:
        return [self._server(record) for record in self._state.servers.all() if record["owner"] == owner]

    def servers(self) -> list[Server]:
        return [self._server(record) for record in self._state.servers.all()]

    def reboot_server(self, key: str) -> None:
        id = short_id(key)
        with self._state.working_on(id):
            record = self._state.servers.read(id)
            if record is None or record["phase"] == "deleting":
                raise CloudError(f"There is no server {key}.", 404)
            if record["phase"] == "creating":
                raise CloudError(f"Server {key} is not complete yet.", 409)
            self._enter(record, "rebooting")
            initprocess.stop(self._root(record), record["address"])
            self._start(record)

    def attach_volume(self, key: str, volume_key: str) -> None:
        id = short_id(key)
        with self._state.working_on(id):
            record, volume = self._state.servers.read(id), self._state.volumes.read(short_id(volume_key))
            if record is None or record["phase"] == "deleting":
                raise CloudError(f"There is no server {key}.", 404)
            if volume is None or volume["id"] != record["volume_id"]:
                raise CloudError(f"The volume {volume_key} is not that of server {key}.", 400)
            if volumes.is_attached(self._state, volume):
                return
            # Its processes still hold what has been taken from under them.
            initprocess.stop(self._root(record), record["address"])
            try:
                volumes.attach(self._state, volume)
            except OSError as error:
                raise CloudError(f"Volume {volume_key} cannot be attached yet: {error}", 500) from error

    def delete_server(self, key: str) -> None:
        id = short_id(key)
        with self._state.working_on(id):
            record = self._state.servers.read(id)
            if record is None:
                self._state.servers.remove(id)
            else:
                self._destroy(record)

    def _reserve(self, id: str, want: WantServer) -> Record:
        """The record that holds port and volume for this server, from here until it is gone."""
        with self._state.registry():
            port = self._state.ports.read(short_id(want.port_key))
            volume = self._state.volumes.read(short_id(want.volume_key))
            if port is None or volume is None or volume["phase"] != "available":
                missing = f"port {want.port_key}" if port is None else f"volume {want.volume_key}"
                raise CloudError(f"Server {want.key} needs the {missing}, which is not there.", 400)
            for other in self._state.servers.all():
                if other["port_id"] == port["id"] or other["volume_id"] == volume["id"]:
                    raise CloudError(f"Server {want.key}: port or volume is in use by server {other['key']}.", 409)
            record = {
                "id": id,
                "key": want.key,
                "owner": want.owner,
                "name": want.name,
                "port_id": port["id"],
                "volume_id": volume["id"],
                "address": port["address"],
                "phase": "creating",
                "fault": "",
            }
            self._place(record).check()
            self._state.servers.write(record)
        return record

    def _start(self, record: Record) -> None:
        """Brings init up unless it runs: the volume first, which a reboot of the host has unmounted."""
        root = self._root(record)
        volume = self._state.volumes.read(record["volume_id"])
        if volume is None:
            raise CloudError(f"The volume of server {record['key']} is gone.", 500)
        fault = ""
        try:
            volumes.attach(self._state, volume)
            if initprocess.find(root) is None:
                initprocess.start(root, self._programs, volumes.file_size_limit(volume))
        except (OSError, CloudError) as error:
            fault = str(error)
        self._enter(record, "started", fault)

    def _destroy(self, record: Record) -> None:
        self._enter(record, "deleting")
        root = self._root(record)
        # Its data goes away: nothing in it needs a clean stop.
        initprocess.kill(root, record["address"])
        try:
            if (volume := self._state.volumes.read(record["volume_id"])) is not None:
                volumes.detach(self._state, volume)
            if root.exists():
                shutil.rmtree(root)
        except OSError as error:
            raise CloudError(f"Server {record['key']} cannot be removed yet: {error}", 500) from error
        self._state.servers.remove(record["id"])

    def _enter(self, record: Record, phase: str, fault: str = "") -> None:
        record["phase"], record["fault"] = phase, fault
        self._state.servers.write(record)

    def _root(self, record: Record) -> Path:
        return self._state.servers.directory / str(record["id"])

    def _place(self, record: Record) -> Place:
        data = volumes.data_directory(self._state, record["volume_id"])
        return Place(self._root(record), data, record["address"], self._ssh_port, images.template_directory(self._state))

    def _server(self, record: Record) -> Server:
        status, fault = self._status(record)
        return Server(record["id"], record["key"], record["owner"], status, record["address"], self._ssh_port, fault)

    def _status(self, record: Record) -> tuple[ServerStatus, str]:
        match record["phase"]:
            case "creating":
                return ServerStatus.BUILD, ""
            case "rebooting":
                return ServerStatus.REBOOT, ""
            case "deleting":
                return ServerStatus.SHUTOFF, ""
        if record["fault"]:
            return ServerStatus.ERROR, record["fault"]
        root = self._root(record)
        if initprocess.find(root) is not None:
            return ServerStatus.ACTIVE, ""
        fault = initprocess.fault(root)
        return (ServerStatus.ERROR, fault) if fault else (ServerStatus.SHUTOFF, "")
