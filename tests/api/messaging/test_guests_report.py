"""A real guest reports to the real API: what one says is what the other understands."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from werkzeug.serving import make_server

from telemetry import reports
from telemetry.reports import Report
from tests.api.messaging.post_office import PostOffice
from tests.guest_agent.server import running_server, until

INSTANCE = "7a6b1f0e-1111-4222-8333-944455556666"
SERVICE, QUEUE = "coffer-guests", f"guest-{INSTANCE}"


@pytest.fixture
def served(office: PostOffice) -> Iterator[PostOffice]:
    """On a port of its own, which guests are told."""
    server = make_server("127.0.0.1", 0, office.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    office.conf.set_override("endpoint", f"http://127.0.0.1:{server.server_port}", "telemetry")
    office.conf.set_override("period", 0.3, "telemetry")
    office.parts.messaging.queues.put(SERVICE, QUEUE)
    try:
        yield office
    finally:
        office.conf.clear_override("endpoint", "telemetry")
        office.conf.clear_override("period", "telemetry")
        server.shutdown()
        thread.join(10)
        server.server_close()


def heard(office: PostOffice) -> list[Report]:
    messages = office.parts.messaging.messages.list(SERVICE, QUEUE, client="", limit=20).items
    return [reports.parse(INSTANCE, json.dumps(message.body)) for message in messages]


def test_every_report_of_a_real_guest_is_understood(served: PostOffice) -> None:
    telemetry = dict(served.parts.urls.settings(INSTANCE))
    with running_server("stub", agent_module="tests.support.stub_agent", telemetry=telemetry) as server:
        server.run("prepare", job_id="p", generation=3)
        told = until(lambda: next((report for report in heard(served) if report.ended_jobs() == ["p"]), None))
    assert (told.engine_state, told.engine_wanted, told.engine_version) == ("running", True, "1.0")
    assert (told.generation, told.root_enabled, told.place > (1, 1)) == (3, False, True)
    places = [report.place for report in heard(served)]
    assert places == sorted(set(places))


def test_a_real_guest_takes_the_next_signature_from_an_answer(served: PostOffice) -> None:
    begun = datetime.now(UTC) - timedelta(minutes=50)
    old = served.parts.signer.sign(SERVICE, QUEUE, ["messages"], ["POST"], begun + timedelta(hours=1), now=begun)
    settings = served.parts.urls.settings(INSTANCE)
    post_to = {**settings["post_to"], "expires": old.expires, "signature": old.signature}
    with running_server("stub", agent_module="tests.support.stub_agent", telemetry={**settings, "post_to": post_to}) as server:
        kept = server.path / "state" / "telemetry" / "destination.json"
        until(lambda: kept.exists())
        renewed = json.loads(kept.read_text())["post_to"]
        assert renewed["expires"] > old.expires
        before = len(heard(served))
        until(lambda: len(heard(served)) > before)


def test_a_real_guest_whose_signature_has_expired_is_heard_again_once_told(served: PostOffice) -> None:
    begun = datetime.now(UTC) - timedelta(minutes=61)
    old = served.parts.signer.sign(SERVICE, QUEUE, ["messages"], ["POST"], begun + timedelta(hours=1), now=begun)
    settings = served.parts.urls.settings(INSTANCE)
    post_to = {**settings["post_to"], "expires": old.expires, "signature": old.signature}
    with running_server("stub", agent_module="tests.support.stub_agent", telemetry={**settings, "post_to": post_to}) as server:
        until(lambda: "answers 404" in server.logs())
        assert heard(served) == []
        assert server.call("telemetry.configure", **served.parts.urls.settings(INSTANCE)) == {"epoch": 1, "number": 0}
        assert until(lambda: heard(served))[0].engine_state == "none"
