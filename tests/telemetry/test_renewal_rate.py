"""How fast silent guests are dialled, whom first, and when not at all."""

import time
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

import config
from activities import renewal
from activities.messages import MessageActivities
from activities.renewal import RenewalActivities
from messaging.service import Messaging
from messaging.signing import signer_of
from messaging.values import Draft
from models import Base, Database, MessagingCounter
from models.base import new_id, utcnow
from security import keyring
from telemetry.records import Entry, write
from telemetry.reports import parse
from telemetry.urls import GuestUrls, queue_of
from tests.guest_agent.server import until
from tests.telemetry.reporting import instances, report, text
from tests.telemetry.test_renewal import Telling
from workflows.contracts import Duty


def test_many_are_dialled_no_faster_than_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "PER_SECOND", 20.0)
    dialled: list[float] = []

    def dial(_instance_id: str) -> str:
        dialled.append(time.monotonic())
        return "told"

    outcomes = ActivityEnvironment().run(renewal._each, [new_id() for _ in range(31)], dial)
    assert outcomes == {"told": 31}
    assert dialled[-1] - dialled[0] > 30 / 20 - 0.1
    monkeypatch.setattr(renewal, "ROUND_SECONDS", 0.5)
    assert ActivityEnvironment().run(renewal._each, [new_id() for _ in range(31)], dial)["told"] <= 12


def test_nobody_is_dialled_while_reports_wait_to_be_drained(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/coffer.db")
    Base.metadata.create_all(database.engine)
    with database.write() as s:
        s.add_all([MessagingCounter(name=name, value=0) for name in ("generation", "placement")])
    ids = [new_id() for _ in range(3)]
    instances(database, *ids)
    keys = keyring.create(tmp_path / "keyring.json")
    messaging, urls = Messaging(database, keys), GuestUrls(config.load(), signer_of(keys))
    messaging.pools.put("default", {"uri": f"sqlite:///{tmp_path}/messages.db", "weight": 1})
    messages, guests = MessageActivities(database, messaging, urls.project, ""), Telling(database, keys, urls)
    round_of = RenewalActivities(database, guests, messages, urls, timedelta(seconds=1))
    messaging.messages.post(urls.project, queue_of(ids[0]), [Draft(report(ids[0]))], "guest")
    until(lambda: messages.delay() >= 1)
    ActivityEnvironment().run(round_of.renew, Duty("telemetry.renew"))
    assert guests.asked == set()
    messaging.collector.discard("default", urls.project, messaging.collector.gather("default", urls.project, 10))
    ActivityEnvironment().run(round_of.renew, Duty("telemetry.renew"))
    assert guests.asked == set(ids)
    messaging.close()
    database.close()


def test_those_whose_url_may_be_void_come_first(database: Database, tmp_path: Path) -> None:
    ids = [new_id() for _ in range(20)]
    instances(database, *ids)
    ago, soon = utcnow() - timedelta(minutes=5), utcnow() + timedelta(minutes=5)
    silent = [Entry(parse(id, text(report(id))), ago, soon) for id in ids[:10]]
    write(database, silent)
    keys = keyring.create(tmp_path / "keyring.json")
    urls = GuestUrls(config.load(), signer_of(keys))
    messages = MessageActivities(database, Messaging(database, keys), urls.project, "")
    found = RenewalActivities(database, Telling(database, keys, urls), messages, urls, timedelta(seconds=30))._silent()
    assert set(found[:10]) == set(ids[10:])
    assert set(found[10:]) == set(ids[:10])
