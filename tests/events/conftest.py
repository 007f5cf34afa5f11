"""A project with instances and a place for its queues; the control plane's rows on SQLite, PostgreSQL and MariaDB."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from activities.delivery import Delivery
from messaging.bell import Bell
from messaging.service import Messaging
from models import Database, Datastore, DatastoreVersion, EventSubscription, FlavorRow, Instance, InstanceState
from models.base import new_id
from models.event_types import RENAMED
from models.outbox import Event, record
from security import keyring
from tests.migrations.conftest import database, empty_url, server

__all__ = ["database", "empty_url", "server"]

PROJECT = "project"


class Desk:
    """Changes instances, subscribes and reads; `delivery` is what a worker does."""

    def __init__(self, database: Database, directory: Path) -> None:
        self.database, self.directory = database, directory
        self.messaging = Messaging(database, keyring.create(directory / "keyring.json"), cache_seconds=0)
        self.messaging.pools.put("default", {"uri": f"sqlite:///{directory}/store.db", "weight": 100})
        self.delivery = self.deliverer()
        with database.write() as s:
            s.add(Datastore(id="d", name="mariadb"))
            s.add(FlavorRow(id="f", name="tiny", ram_mb=512, vcpus=1, disk_gb=1))
            s.flush()
            s.add(DatastoreVersion(id="v", datastore_id="d", name="10.11", version="10.11", manager="mariadb"))

    def deliverer(self, most_waiting: int = 1000) -> Delivery:
        return Delivery(self.database, self.messaging, Bell(self.directory / "bell"), "RegionOne", most_waiting)

    def instance(self, project_id: str = PROJECT, **fields: Any) -> str:
        id = new_id()
        usual = {"state": InstanceState.READY, "server_key": "server", "flavor_id": "f", "volume_size": 1}
        with self.database.write() as s:
            s.add(Instance(id=id, project_id=project_id, name="0", datastore_version_id="v", **(usual | fields)))
        return id

    def subscribe(self, queue: str = "news", **fields: Any) -> str:
        row = EventSubscription(**{"project_id": PROJECT, "queue": queue, "ttl": 3600, **fields})
        with self.database.write() as s:
            s.add(row)
        return row.id

    def subscription(self, id: str) -> EventSubscription:
        with self.database.read() as s:
            return s.get_one(EventSubscription, id)

    def rename(self, instance_id: str, name: str, fail: bool = False) -> None:
        """As the API does."""
        with self.database.write() as s:
            instance = s.get_one(Instance, instance_id, with_for_update=True)
            event = Event(RENAMED, {"old_name": instance.name, "name": name})
            instance.name = name
            record(s, instance, [event])
            if fail:
                raise Crash

    def news(self, queue: str = "news") -> list[dict[str, Any]]:
        """What is in the queue, in its order; taken out."""
        found: list[dict[str, Any]] = []
        while popped := self.messaging.messages.pop(PROJECT, queue, 100):
            found += [message.body for message in popped]
        return found

    def close(self) -> None:
        self.messaging.close()


class Crash(Exception):
    """What ends a transaction before its commit."""


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(database, tmp_path)
    yield desk
    desk.close()


def names(news: Sequence[dict[str, Any]]) -> list[str]:
    return [event["payload"]["name"] for event in news]
