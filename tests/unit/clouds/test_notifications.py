"""What a message of the broker is taken for.  That it comes from anybody is the rule."""

import json
from typing import Any

import pytest

from clouds.openstack.notifications import LONGEST_MESSAGE, SERVERS, VOLUMES, Source, broker_urls, subject

UNVERSIONED = {"event_type": "compute.instance.create.end", "payload": {"display_name": "coffer-1-server", "state": "active"}}
VERSIONED = {
    "event_type": "instance.create.end",
    "payload": {"nova_object.name": "InstanceCreatePayload", "nova_object.data": {"display_name": "coffer-1-server"}},
}
VOLUME = {"event_type": "volume.create.end", "payload": {"display_name": "coffer-1-volume", "status": "available"}}


def enveloped(notification: Any) -> bytes:
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(notification)}).encode()


@pytest.mark.parametrize(
    ("notification", "found"),
    [
        (UNVERSIONED, (SERVERS, "coffer-1-server")),
        (VERSIONED, (SERVERS, "coffer-1-server")),
        (VOLUME, (VOLUMES, "coffer-1-volume")),
        ({**UNVERSIONED, "event_type": "compute.instance.update"}, (SERVERS, "coffer-1-server")),
        ({**VERSIONED, "event_type": "instance.create.error"}, (SERVERS, "coffer-1-server")),
        ({**UNVERSIONED, "event_type": "compute.instance.create.start"}, None),
        ({**UNVERSIONED, "event_type": "keypair.create.end"}, None),
        ({"event_type": "compute.instance.update", "payload": {"display_name": "coffer-1-server", "state": "building"}}, None),
        ({"event_type": "volume.update.end", "payload": {"display_name": "coffer-1-volume", "status": "creating"}}, None),
    ],
)
def test_key_of_a_notification(notification: dict[str, Any], found: tuple[str, str] | None) -> None:
    assert subject(enveloped(notification)) == found
    assert subject(json.dumps(notification).encode()) == found


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"oslo.message": "{"}',
        b'{"oslo.message": "[1]"}',
        b"[" * 100_000,
        b'{"event_type": "instance.create.end"}',
        b'{"event_type": 7, "payload": {"display_name": "x"}}',
        b'{"event_type": "instance.create.end", "payload": []}',
        b'{"event_type": "instance.create.end", "payload": {"display_name": {"a": 1}}}',
        b'{"event_type": "instance.create.end", "payload": {"nova_object.data": "x"}}',
        b'{"event_type": "instance.create.end", "payload": {"display_name": ""}}',
        enveloped(UNVERSIONED) + b" " * LONGEST_MESSAGE,
    ],
    ids=range(14),
)
def test_everything_else_is_passed_over(body: bytes) -> None:
    assert subject(body) is None


def test_brokers_of_a_transport_url() -> None:
    assert broker_urls("rabbit://u:p@one:5672,u:p@two:5673/") == ["amqp://u:p@one:5672//", "amqp://u:p@two:5673//"]
    assert broker_urls("rabbit://u:p@one/coffer") == ["amqp://u:p@one/coffer"]


@pytest.mark.parametrize("url", ["", "one:5672", "kafka://one", "rabbit://"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="transport_url"):
        broker_urls(url)


def test_the_password_is_not_shown() -> None:
    assert "s3cret" not in repr(Source("rabbit://u:s3cret@one/"))
