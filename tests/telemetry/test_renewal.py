"""A round of renewal on SQL of every engine: what stands in the way of telling one guest keeps no other from being told."""

import socket
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from temporalio.testing import ActivityEnvironment

import config
from activities.guest import GuestActivities
from activities.messages import MessageActivities
from activities.renewal import RenewalActivities
from guests.pool import GuestPool
from messaging.service import Messaging
from messaging.signing import signer_of
from models import Database, EventSubscription, Instance, OutboxRow
from models.base import new_id
from security import keyring
from security.vault import Vault
from telemetry import records
from telemetry.urls import GuestUrls
from tests.telemetry.reporting import instances
from tests.telemetry.test_records import entry
from workflows.contracts import Duty, Operation


class Telling(GuestActivities):
    """Notes whom it was asked to tell, and then dials as ever."""

    def __init__(self, database: Database, keys: keyring.Keyring, urls: GuestUrls) -> None:
        super().__init__(database, Vault(keys), GuestPool(max_connections=2), urls)
        self.asked: set[str] = set()

    def configure_telemetry(self, instance_id: str, settings: Mapping[str, Any], deadline: float) -> None:
        self.asked.add(instance_id)
        super().configure_telemetry(instance_id, settings, deadline)


@pytest.fixture
def renewal(database: Database, tmp_path: Path) -> Iterator[RenewalActivities]:
    keys = keyring.create(tmp_path / "keyring.json")
    messaging, urls = Messaging(database, keys), GuestUrls(config.load(), signer_of(keys))
    messaging.pools.put("default", {"uri": f"sqlite:///{tmp_path}/messages.db", "weight": 1})
    queues = MessageActivities(database, messaging, urls.project, "")
    yield RenewalActivities(database, Telling(database, keys, urls), queues, urls, timedelta(seconds=30))
    messaging.close()


def a_round(renewal: RenewalActivities) -> None:
    ActivityEnvironment().run(renewal.renew, Duty("telemetry.renew"))


def test_an_instance_without_a_server_keeps_no_other_from_being_told(database: Database, renewal: RenewalActivities) -> None:
    ids = [new_id() for _ in range(40)]
    instances(database, *ids)
    a_round(renewal)
    assert renewal._guests.asked == set(ids)


def test_who_is_silent_and_does_not_answer_is_told_of_once(database: Database, renewal: RenewalActivities) -> None:
    away, without_server = new_id(), new_id()
    instances(database, away, without_server)
    records.write(database, [entry(away), entry(without_server)])
    renewal._guests.create_keys(Operation("op", away, "project"))
    with database.write() as s, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        instance = s.get_one(Instance, away)
        instance.management_address, instance.management_port = closed.getsockname()
        s.add(EventSubscription(project_id="project", queue="news", ttl=3600))
    for _ in range(2):
        a_round(renewal)
    with database.read() as s:
        told = s.scalars(select(OutboxRow.body)).all()
    assert [(event["type"], event["instance"]["id"]) for event in told] == [("instance.silent", away)]
