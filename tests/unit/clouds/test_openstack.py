"""What only the openstack driver does: user data, errors, shared looks, no word of secrets in logs.  Its promises are in the contract suite."""

import base64
import dataclasses
import json
import logging
import threading
import time
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from keystoneauth1.adapter import Adapter
from keystoneauth1.noauth import NoAuth

from clouds.openstack import Credentials
from clouds.openstack.calls import LONGEST_WAIT, Service, SilentSession, Web
from clouds.openstack.looks import Looks
from clouds.openstack.networks import _mac
from clouds.openstack.userdata import BOOT_FILE, user_data
from clouds.ports import CloudError, GuestBoot
from guest_agent.boot import __main__ as boot
from guest_agent.boot.layout import Place, _agent_settings, _sshd_config
from guest_agent.boot.settings import BootSettings
from guest_agent.settings import Settings as AgentSettings
from guests.keys import new_key_pair
from tests.support.faultproxy import Fault, FaultProxy, fault_proxy
from tests.support.local_guest import eventually

LOGIN, HOST = new_key_pair(), new_key_pair()
TELEMETRY = {"post_to": "https://messages/", "period": 30}
BOOT = GuestBoot("instance-1", "mariadb", "10.11", 512, LOGIN.public, HOST.private, TELEMETRY)


# -- user data


def rendered(**more: str) -> str:
    return user_data(BOOT, address="10.0.0.7", channel_port=2222, volume_id="volume-1", **more)


def test_on_two_networks_the_engine_is_on_one_and_the_channel_on_the_other(tmp_path: Path) -> None:
    (file,) = yaml.safe_load(base64.b64decode(rendered(engine_address="192.0.2.7")).decode())["write_files"]
    (tmp_path / "boot.json").write_text(file["content"])
    told = BootSettings.load(tmp_path / "boot.json")
    place = Place(tmp_path / "server")
    agent = {**_agent_settings(place, told), "telemetry": None}
    (tmp_path / "agent.json").write_text(json.dumps(agent))
    assert AgentSettings.load(str(tmp_path / "agent.json")).bind_address == "192.0.2.7"
    assert "ListenAddress 10.0.0.7:2222" in _sshd_config(place, told)


def test_user_data_is_a_cloud_config_that_the_guest_understands(tmp_path: Path) -> None:
    text = base64.b64decode(rendered()).decode()
    assert text.startswith("#cloud-config\n")
    (file,) = yaml.safe_load(text)["write_files"]
    assert (file["path"], file["permissions"]) == (boot.BOOT_FILE, "0600")
    assert boot.BOOT_FILE == BOOT_FILE
    (tmp_path / "boot.json").write_text(file["content"])
    told = BootSettings.load(tmp_path / "boot.json")
    assert told.agent == {
        "instance_id": "instance-1",
        "manager": "mariadb",
        "version": "10.11",
        "ram_mb": 512,
        "telemetry": TELEMETRY,
    }
    assert (told.address, told.channel_port, told.volume_id) == ("10.0.0.7", 2222, "volume-1")
    assert (told.authorized_key, told.host_key) == (LOGIN.public, HOST.private)
    assert "PRIVATE KEY" not in repr(told)


def test_user_data_that_nova_would_not_take_is_refused() -> None:
    with pytest.raises(CloudError) as refused:
        user_data(dataclasses.replace(BOOT, version="1" * 60_000), address="10.0.0.7", channel_port=22, volume_id="v")
    assert refused.value.status == 400
    assert "PRIVATE KEY" not in str(refused.value)


def test_the_password_is_in_no_representation() -> None:
    assert "secret" not in repr(Credentials("http://keystone", "coffer", "secret", "service"))


def test_the_address_on_the_link_is_the_keys_own_and_unicast() -> None:
    made = {_mac(f"coffer-{number}-port") for number in range(5000)}
    assert len(made) == 5000
    assert {int(mac[:2], 16) & 3 for mac in made} == {2}


# -- calls


@pytest.fixture
def web() -> Iterator[FaultProxy]:
    with fault_proxy() as web:
        yield web


def service(web: FaultProxy, heard: list[tuple[str, str]] | None = None, timeout: float = 10) -> Service:
    calls: list[tuple[str, str]] = [] if heard is None else heard
    sends = Web(lambda method, url: calls.append((method, url)))
    session = SilentSession(session=sends, auth=NoAuth(endpoint=web.url), timeout=timeout)
    return Service("Nova", lambda: Adapter(session=session, service_type="compute"))


@pytest.mark.parametrize(
    ("status", "body", "seen", "words"),
    [
        (400, {"badRequest": {"message": "no such image"}}, 400, "no such image"),
        (403, {"forbidden": {"message": "Quota exceeded for cores"}}, 403, "Quota exceeded"),
        (403, {"forbidden": {"message": "Policy doesn't allow it"}}, 400, "Policy"),
        (409, {"NeutronError": {"type": "OverQuota", "message": "Quota exceeded"}}, 409, "Quota exceeded"),
        (413, {"overLimit": {"message": "Quota exceeded: volumes"}}, 413, "volumes"),
        (413, {"code": 413, "type": "over_quota", "message": "Quota exceeded for zone_recordsets."}, 413, "zone_recordsets"),
        (403, {"code": 403, "type": "forbidden", "message": "Policy does not allow it"}, 400, "Policy"),
        (500, {}, 500, "500"),
    ],
)
def test_a_refusal_keeps_its_status_and_words(web: FaultProxy, status: int, body: dict[str, Any], seen: int, words: str) -> None:
    web.inject(Fault("POST", "/servers", status=status, body=body))
    with pytest.raises(CloudError, match=words) as refused:
        service(web).post("/servers", {})
    assert (refused.value.status, refused.value.retry_after) == (seen, None)


@pytest.mark.parametrize(
    ("status", "given", "seen"),
    [
        (429, "7", 7.0),
        (503, "0", 0.0),
        (503, "-3", 0.0),
        (503, "99999", LONGEST_WAIT),
        (503, "Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (503, "soon", None),
        (500, "7", None),
    ],
)
def test_a_service_says_how_long_it_wants_to_be_left_alone(web: FaultProxy, status: int, given: str, seen: float | None) -> None:
    web.inject(Fault("GET", "/servers", status=status, headers={"Retry-After": given}))
    with pytest.raises(CloudError) as refused:
        service(web).get("/servers")
    assert refused.value.retry_after == seen


def test_nothing_is_asked_twice_by_itself(web: FaultProxy) -> None:
    heard: list[tuple[str, str]] = []
    web.inject(Fault("GET", "/servers", status=503, times=9))
    with pytest.raises(CloudError):
        service(web, heard).get("/servers")
    assert web.calls() == ["GET /servers"]
    assert heard == [("GET", f"{web.url}/servers")]


def test_silence_and_absence_are_told_apart(web: FaultProxy) -> None:
    web.inject(Fault("GET", "/servers", delay=30, status=200), Fault("DELETE", "/servers", status=404))
    with pytest.raises(CloudError) as silent:
        service(web, timeout=0.2).get("/servers")
    assert silent.value.status == 503
    service(web).delete("/servers/1")


@pytest.mark.parametrize("designates", [False, True])
def test_a_list_is_read_to_its_last_page(web: FaultProxy, designates: bool) -> None:
    onward = f"{web.url}/servers?limit=1&marker=1"
    links = {"links": {"self": web.url, "next": onward}} if designates else {"servers_links": [{"rel": "next", "href": onward}]}
    more = {"servers": [{"id": 1}], **links}
    web.inject(
        Fault("GET", "/servers", status=200, body=more), Fault("GET", "/servers", status=200, body={"servers": [{"id": 2}]})
    )
    assert [one["id"] for one in service(web).pages("/servers", "servers")] == [1, 2]


def test_no_log_has_what_is_sent(web: FaultProxy, caplog: pytest.LogCaptureFixture) -> None:
    web.inject(Fault("POST", "/servers", status=500, body={"computeFault": {"message": "broken"}}))
    with caplog.at_level(logging.DEBUG), pytest.raises(CloudError) as refused:
        service(web).post("/servers", {"server": {"user_data": rendered()}})
    logged = caplog.text + str(refused.value)
    assert rendered()[:40] not in logged
    assert "user_data" not in logged


# -- looks


def test_many_waiters_share_a_list() -> None:
    asked: list[Set[str]] = []

    def ask(keys: Set[str]) -> dict[str, str]:
        asked.append(keys)
        return {key: key.upper() for key in keys if key != "absent"}

    looks = Looks(ask, 0.2)
    keys = [f"key-{number}" for number in range(49)] + ["absent"]
    with ThreadPoolExecutor(50) as threads:
        found = list(threads.map(looks.show, keys))
    assert found == [*(key.upper() for key in keys[:-1]), None]
    assert len(asked) <= 3
    assert set().union(*asked) == set(keys)


def test_an_answer_is_never_older_than_its_question() -> None:
    begun, go_on = threading.Event(), threading.Event()
    truth = {"key": "old"}

    def ask(keys: Set[str]) -> dict[str, str]:
        seen = dict(truth)
        begun.set()
        assert go_on.wait(10)
        return seen

    looks = Looks(ask, 0.0)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(looks.show, "key")
        assert begun.wait(10)
        truth["key"] = "new"
        second = threads.submit(looks.show, "key")
        go_on.set()
        assert (first.result(10), second.result(10)) == ("old", "new")


def test_an_error_reaches_all_who_wait_and_the_next_is_asked_anew() -> None:
    answers: list[Any] = [CloudError("away", 503, retry_after=0.3), {"key": "found"}]

    def ask(keys: Set[str]) -> dict[str, str]:
        answer = answers.pop(0)
        if isinstance(answer, CloudError):
            raise answer
        return dict(answer)

    looks = Looks(ask, 0.0)
    begun = time.monotonic()
    with pytest.raises(CloudError) as refused:
        looks.show("key")
    assert (refused.value.status, refused.value.retry_after) == (503, 0.3)
    with pytest.raises(CloudError) as closed:
        looks.show("key")
    assert closed.value.status == 503
    assert len(answers) == 1, "it was asked all the same"
    assert eventually(lambda: found_by(looks)) == "found"
    assert time.monotonic() - begun >= 0.3, "it was not left alone"


def found_by(looks: Looks[str]) -> str | None:
    try:
        return looks.show("key")
    except CloudError:
        return None


def test_a_bug_in_asking_keeps_nobody_waiting() -> None:
    def ask(keys: Set[str]) -> dict[str, str]:
        raise KeyError("a bug")

    looks = Looks(ask, 0.05)
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(looks.show, "key") for _ in range(8)]
        errors = {type(one.exception(10)) for one in waiting}
    assert errors <= {KeyError, CloudError}
    assert KeyError in errors
