"""What tenants see of what guests report."""

from datetime import timedelta
from typing import Any

import pytest

from api.views import Telemetry, status_of
from models import GuestTelemetry, Instance, InstanceState
from models.base import utcnow
from tests.api.stand import Stand

AGO = timedelta(seconds=12)


def heard(stand: Stand, instance_id: str, engine: str = "running", ago: timedelta = AGO, **values: Any) -> None:
    at = utcnow() - ago
    with stand.database.write() as s:
        s.merge(
            GuestTelemetry(
                instance_id=instance_id,
                epoch=1,
                number=1,
                received_at=at,
                engine_state=engine,
                engine_wanted=True,
                engine_version="10.11.6",
                engine_deaths=0,
                volume_total=2**30,
                volume_used=values.get("used", 184549376),
                load_average=[0.0, 0.0, 0.0],
                root_enabled=False,
                agent_version="0.1.0",
                boot_id="b",
                generation=1,
                jobs=[],
                url_expires_at=at,
                engine_up=values.get("up", True),
                deaths=values.get("deaths", 0),
                died_at=at if "deaths" in values else None,
            )
        )


def instance(state: InstanceState, fault: str | None = None, server: str | None = "server") -> Instance:
    return Instance(state=state, fault_message=fault, server_key=server)


READY, ERROR, BUILDING = InstanceState.READY, InstanceState.ERROR, InstanceState.BUILDING


@pytest.mark.parametrize(
    ("row", "kind", "telemetry", "expected"),
    [
        (instance(READY), None, None, ("ACTIVE", "HEALTHY")),
        (instance(READY, "failed"), None, None, ("ACTIVE", "ERROR")),
        (instance(READY), None, Telemetry("running"), ("ACTIVE", "HEALTHY")),
        (instance(READY, "failed"), None, Telemetry("running"), ("ACTIVE", "HEALTHY")),
        (instance(READY), None, Telemetry("stopped"), ("ACTIVE", "SHUTDOWN")),
        (instance(READY), None, Telemetry("none"), ("ACTIVE", "SHUTDOWN")),
        (instance(READY), None, Telemetry("blocked"), ("ACTIVE", "BLOCKED")),
        (instance(READY), None, Telemetry("stopped", awaited=True), ("ACTIVE", "HEALTHY")),
        (instance(READY), None, Telemetry("none", awaited=True), ("ACTIVE", "HEALTHY")),
        (instance(READY), None, Telemetry("blocked", awaited=True), ("ACTIVE", "BLOCKED")),
        (instance(READY), None, Telemetry("none", silent=True, awaited=True), ("ACTIVE", "UNKNOWN")),
        (instance(READY), None, Telemetry("running", silent=True), ("ACTIVE", "UNKNOWN")),
        (instance(READY), None, Telemetry("stopped", silent=True), ("ACTIVE", "UNKNOWN")),
        (instance(READY), "GuestWrite", Telemetry("stopped"), ("ACTIVE", "SHUTDOWN")),
        (instance(READY), "InstanceRestart", Telemetry("stopped"), ("REBOOT", "")),
        (instance(READY), "InstanceDelete", Telemetry("running"), ("SHUTDOWN", "")),
        (instance(BUILDING), "InstanceCreate", Telemetry("none"), ("BUILD", "")),
        (instance(BUILDING), None, Telemetry("running"), ("BUILD", "")),
        (instance(ERROR, "failed"), None, None, ("ERROR", "ERROR")),
        (instance(ERROR, "failed"), None, Telemetry("running"), ("ERROR", "HEALTHY")),
        (instance(ERROR, "failed"), None, Telemetry("running", silent=True), ("ERROR", "UNKNOWN")),
        (instance(ERROR, "failed", None), None, Telemetry("running"), ("ERROR", "FAILED")),
    ],
)
def test_status(row: Instance, kind: str | None, telemetry: Telemetry | None, expected: tuple[str, str]) -> None:
    assert status_of(row, kind, telemetry) == expected


def shown(stand: Stand, instance_id: str) -> dict[str, Any]:
    found: dict[str, Any] = stand.alpha.get(f"/instances/{instance_id}").json["instance"]
    return found


def test_a_report_shows_with_its_age(stand: Stand) -> None:
    instance_id = stand.ready()
    before = shown(stand, instance_id)
    assert before["service_status_updated"] == before["updated"]
    assert before["volume"] == {"size": 1}
    heard(stand, instance_id, used=184549376)
    view = shown(stand, instance_id)
    assert view["volume"] == {"size": 1, "used": 0.17}
    assert view["operating_status"] == "HEALTHY"
    assert view["service_status_updated"] < view["updated"] == before["updated"]


@pytest.mark.parametrize(
    ("engine", "ago", "expected"),
    [
        ("running", 29, "HEALTHY"),
        ("running", 31, "UNKNOWN"),
        ("stopped", 5, "SHUTDOWN"),
        ("blocked", 5, "BLOCKED"),
    ],
)
def test_the_engine_as_reported_everywhere(stand: Stand, engine: str, ago: int, expected: str) -> None:
    instance_id = stand.ready()
    heard(stand, instance_id, engine, timedelta(seconds=ago))
    listed, detailed = (stand.alpha.get(path).json["instances"][0] for path in ("/instances", "/instances/detail"))
    for view in (shown(stand, instance_id), listed, detailed):
        assert (view["status"], view["operating_status"]) == ("ACTIVE", expected)
    assert "used" not in listed["volume"]


def test_reports_from_before_the_end_of_the_create_do_not_count(stand: Stand) -> None:
    instance_id = stand.ready()
    heard(stand, instance_id, "none", up=None)
    assert shown(stand, instance_id)["operating_status"] == "HEALTHY"


def test_deaths_show_in_the_details(stand: Stand) -> None:
    instance_id = stand.ready()
    heard(stand, instance_id)
    assert not {"engine_deaths", "engine_died"} & shown(stand, instance_id).keys()
    heard(stand, instance_id, deaths=2)
    view = shown(stand, instance_id)
    assert (view["engine_deaths"], view["engine_died"]) == (2, view["service_status_updated"])
    assert "engine_deaths" not in stand.alpha.get("/instances").json["instances"][0]


def test_usage_is_not_shown_while_something_is_done_to_it(stand: Stand) -> None:
    instance_id = stand.ready()
    heard(stand, instance_id)
    assert stand.alpha.post(f"/instances/{instance_id}/action", {"restart": {}}).status_code == 202
    view = shown(stand, instance_id)
    assert (view["status"], view["operating_status"], view["volume"]) == ("REBOOT", "", {"size": 1})


def test_lists_take_as_many_statements_with_reports_as_without(stand: Stand) -> None:
    ids = stand.many(10, stand.alpha.project_id)
    with stand.statements() as without:
        stand.alpha.get("/instances")
    for id in ids:
        heard(stand, id)
    with stand.statements() as with_reports:
        assert {view["operating_status"] for view in stand.alpha.get("/instances").json["instances"]} == {"HEALTHY"}
    assert len(with_reports) == len(without)
