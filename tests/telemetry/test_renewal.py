"""A round of renewal on SQL of every engine: what stands in the way of telling one guest keeps no other from being told."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.testing import ActivityEnvironment

import config
from activities.guest import GuestActivities
from activities.messages import MessageActivities
from activities.renewal import RenewalActivities
from guests.pool import GuestPool
from messaging.service import Messaging
from messaging.signing import signer_of
from models import Database, Instance, InstanceState
from models.base import new_id
from security import keyring
from security.vault import Vault
from telemetry.urls import GuestUrls
from tests.telemetry.reporting import instances
from workflows.contracts import Duty


class Telling(GuestActivities):
    """Notes whom it was asked to tell, and then dials as ever."""

    def __init__(self, database: Database, keys: keyring.Keyring, urls: GuestUrls) -> None:
        super().__init__(database, Vault(keys), GuestPool(max_connections=2), urls)
        self.asked: set[str] = set()

    def configure_telemetry(self, instance_id: str, settings: Mapping[str, Any], deadline: float) -> None:
        self.asked.add(instance_id)
        super().configure_telemetry(instance_id, settings, deadline)


def test_an_instance_without_a_server_keeps_no_other_from_being_told(database: Database, tmp_path: Path) -> None:
    ids = [new_id() for _ in range(40)]
    instances(database, *ids)
    with database.write() as s:
        for id in ids:
            s.get_one(Instance, id).state = InstanceState.READY
    keys = keyring.create(tmp_path / "keyring.json")
    messaging, urls = Messaging(database, keys), GuestUrls(config.load(), signer_of(keys))
    messaging.pools.put("default", {"uri": f"sqlite:///{tmp_path}/messages.db", "weight": 1})
    guests = Telling(database, keys, urls)
    renewal = RenewalActivities(
        database, guests, MessageActivities(database, messaging, urls.project, ""), urls, timedelta(seconds=30)
    )
    ActivityEnvironment().run(renewal.renew, Duty("telemetry.renew"))
    messaging.close()
    assert guests.asked == set(ids)
