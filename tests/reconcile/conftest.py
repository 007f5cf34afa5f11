"""Instances in SQL, on each engine, and a local cloud whose records are written as somebody who meddles with it leaves them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.reconcile import ReconcileActivities
from clouds.local import local_cloud
from clouds.local.objects import Container
from clouds.local.state import State, short_id
from clouds.objects import ObjectKey, segment_name
from clouds.ports import Cloud, WantPort, WantVolume
from models import Database, Instance, InstanceState, OperationRow, OperationState
from models.base import new_id
from tests.events.conftest import Desk
from tests.migrations.conftest import database, empty_url, server
from tests.support.local_guest import short_directory

__all__ = ["database", "empty_url", "server"]

AT_ONCE = timedelta(microseconds=1)


@dataclass(frozen=True)
class Room:
    desk: Desk
    cloud: Cloud
    directory: Path

    @property
    def database(self) -> Database:
        return self.desk.database

    def rounds(self, grace: timedelta = timedelta(0)) -> ReconcileActivities:
        return ReconcileActivities(self.database, self.cloud, AT_ONCE, grace, AT_ONCE, patience=0.0)

    def instance(self, **fields: Any) -> tuple[str, str]:
        """One that was made by an operation that has ended; its id, and what its keys begin with."""
        id, op_id = self.desk.instance(**fields), new_id()
        op = {"kind": "InstanceCreate", "workflow_id": f"instance:{id}", "project_id": "project", "input": {}}
        with self.database.write() as s:
            s.add(OperationRow(id=op_id, instance_id=id, state=OperationState.DONE, **op))
            s.get_one(Instance, id).server_key = f"coffer-{op_id}-server"
        return id, f"coffer-{op_id}-"

    def things(self, id: str, key: str) -> None:
        """Port, volume and a server whose processes have ended."""
        port = self.cloud.networks.create_port(WantPort(f"{key}port", id))
        volume = self.cloud.volumes.create_volume(WantVolume(f"{key}volume", id, 1))
        self.put_server(id, f"{key}server", port_id=port.id, volume_id=volume.id, address=port.address)

    def put_server(self, id: str, key: str, **fields: Any) -> None:
        usual = {"port_id": "", "volume_id": "", "address": "127.64.0.1", "name": "db", "fault": "", "phase": "started"}
        server_id = short_id(key)
        (self.directory / "servers" / server_id / "run").mkdir(parents=True)
        (self.directory / "servers" / server_id / "run" / "init.sock").touch()  # it had come up
        State(self.directory).servers.write({"id": server_id, "key": key, "owner": id, **usual, **fields})

    def check_of(self, id: str) -> str:
        """Of the object store, that has ended; the operation's id."""
        op_id = new_id()
        op = {"kind": "GuestObjectCheck", "workflow_id": f"instance:{id}", "project_id": "project", "input": {}}
        with self.database.write() as s:
            s.add(OperationRow(id=op_id, instance_id=id, state=OperationState.DONE, **op))
        return op_id

    def send_object(self, path: str) -> ObjectKey:
        """As a guest that dies before it is done."""
        key = ObjectKey("project", path)
        container = Container(self.directory / "objects" / key.project)
        container.make()
        container.file(segment_name(key, 1)).write_bytes(b"sample")
        return key

    def change_server(self, key: str, **fields: Any) -> None:
        servers = State(self.directory).servers
        (record,) = (one for one in servers.all() if one["key"] == key)
        servers.write({**record, **fields})

    def read(self, id: str) -> Instance:
        with self.database.read() as s:
            return s.get_one(Instance, id)

    def state(self, id: str) -> InstanceState:
        return self.read(id).state

    def news(self) -> list[str]:
        self.desk.delivery.round()
        return [event["type"] for event in self.desk.news()]


@pytest.fixture
def room(database: Database, tmp_path: Path) -> Iterator[Room]:
    desk = Desk(database, tmp_path)
    with short_directory() as directory:
        cloud = local_cloud(directory)
        yield Room(desk, cloud, directory)
        for record in State(directory).servers.all():
            State(directory).servers.remove(record["id"])
        for volume in cloud.volumes.volumes():
            cloud.volumes.delete_volume(volume.key)
    desk.messaging.close()
