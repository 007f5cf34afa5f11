"""What agent.json and the control plane may say of where reports go."""

import json
from pathlib import Path
from typing import Any

import pytest

from guest_agent.errors import InvalidRequest
from guest_agent.settings import Settings
from guest_agent.telemetry import addresses

POST_TO = {
    "url": "http://127.0.0.1:8779/messaging/v2/queues/guest-1/messages",
    "project": "services",
    "paths": "/v2/queues/guest-1/messages",
    "methods": "POST",
    "expires": "2030-01-31T12:00:00",
    "signature": "canary",
}
TEXTS = (
    "instance_id",
    "manager",
    "version",
    "bind_address",
    "data_dir",
    "state_dir",
    "run_dir",
    "log_dir",
    "socket",
    "init_socket",
)


def load(tmp_path: Path, **more: Any) -> Settings:
    path = tmp_path / "agent.json"
    path.write_text(json.dumps({**dict.fromkeys(TEXTS, "x"), "ram_mb": 512, **more}))
    return Settings.load(str(path))


def test_agent_json_may_say_where_reports_go(tmp_path: Path) -> None:
    settings = load(tmp_path, telemetry={"post_to": POST_TO, "period": 10}, ca_file="/etc/ca.pem")
    assert settings.telemetry
    assert settings.telemetry.as_json() == {"post_to": POST_TO, "period": 10}
    assert settings.ca_file == "/etc/ca.pem"
    assert "canary" not in repr(settings)


@pytest.mark.parametrize("more", [{}, {"telemetry": None, "ca_file": None}])
def test_and_need_not(tmp_path: Path, more: dict[str, Any]) -> None:
    assert load(tmp_path, **more).telemetry is None


@pytest.mark.parametrize(
    "change",
    [
        {"url": "ftp://127.0.0.1/q"},
        {"url": "http:///q"},
        {"url": "http://127.0.0.1:99999/q"},
        {"url": "http://127.0.0.1:0/q"},
        {"url": "http://[::1/q"},
        {"url": "http://user:word@127.0.0.1/q"},
        {"url": "http://127.0.0.1/q#f"},
        {"url": "http://127.0.0.1/q HTTP/1.1\r\nX: y"},
        {"url": "http://127.0.0.1/" + "q" * addresses.MAX_LENGTH},
        {"expires": "tomorrow"},
        {"expires": "2030-01-31T12:00:00Z"},
        {"signature": ""},
        {"signature": "a\nX: y"},
        {"project": "é"},
        {"methods": 1},
        {"more": "x"},
    ],
)
def test_what_is_no_destination_is_refused_without_being_told(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        addresses.destination({"post_to": {**POST_TO, **change}, "period": 10}, "params")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("period", [0, 0.01, 3601, "10", True, None, float("nan")])
def test_a_period_is_a_number_of_seconds(period: object) -> None:
    with pytest.raises(InvalidRequest):
        addresses.destination({"post_to": POST_TO, "period": period}, "params")


def test_what_lasts_longer_wins_and_what_was_kept_else() -> None:
    def expiring(when: str) -> addresses.Destination:
        return addresses.destination({"post_to": {**POST_TO, "expires": when}, "period": 10}, "x")

    early, late = expiring("2030-01-31T12:00:00"), expiring("2030-02-01T00:00:00")
    assert addresses.newer(early, late) is late
    assert addresses.newer(late, early) is late
    kept = expiring("2030-01-31T12:00:00")
    assert addresses.newer(kept, early) is kept
    assert addresses.newer(None, early) is early
    assert addresses.newer(kept, None) is kept
    assert addresses.newer(None, None) is None


def test_the_parts_of_an_address() -> None:
    assert addresses.parts_of("https://[::1]:8443/a/b?c=d") == ("https", "::1", 8443, "/a/b?c=d")
    assert addresses.parts_of("http://host") == ("http", "host", 80, "/")
