"""Which rules of a security group let the workers in, and what is said of the zone for names."""

import ipaddress
from types import SimpleNamespace
from typing import Any, cast

import pytest

from clouds.openstack import Credentials, Services, Settings
from clouds.openstack.bootstrap import Bootstrap, State, Wanted, credentials_of, lets_in

OURS: dict[str, Any] = {
    "direction": "ingress",
    "ethertype": "IPv4",
    "protocol": "tcp",
    "port_range_min": 2222,
    "port_range_max": 2222,
    "remote_ip_prefix": "10.127.0.0/16",
    "remote_group_id": None,
}


@pytest.mark.parametrize(
    ("changes", "enough"),
    [
        ({}, True),
        ({"remote_ip_prefix": None}, True),
        ({"remote_ip_prefix": "10.0.0.0/8"}, True),
        ({"remote_ip_prefix": "10.127.1.0/24"}, False),
        ({"remote_ip_prefix": "10.126.0.0/16"}, False),
        ({"protocol": None, "port_range_min": None, "port_range_max": None}, True),
        ({"port_range_min": 1, "port_range_max": 65535}, True),
        ({"port_range_min": 22, "port_range_max": 22}, False),
        ({"protocol": "udp"}, False),
        ({"direction": "egress"}, False),
        ({"ethertype": "IPv6"}, False),
        ({"remote_group_id": "default"}, False),
    ],
)
def test_lets_in(changes: dict[str, Any], enough: bool) -> None:
    assert lets_in(OURS | changes, 2222, ipaddress.ip_network("10.127.0.0/16")) is enough


def test_a_cloud_that_clouds_yaml_does_not_have(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text("clouds: {half: {auth: {auth_url: 'http://127.0.0.1:1/v3', username: a}}}\n")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
    for name in ("none", "half"):
        with pytest.raises(LookupError, match=f"no cloud {name}"):
            credentials_of(name)


ZONE = {"id": "z1", "name": "db.example.", "type": "PRIMARY", "status": "ACTIVE"}


@pytest.mark.parametrize(
    ("cataloged", "zones", "state", "mend"),
    [
        (True, [ZONE], State.THERE, ""),
        (True, [ZONE | {"status": "PENDING"}], State.THERE, ""),
        (True, [], State.MISSING, "in project service: openstack zone create --email ADDRESS db.example."),
        (True, [ZONE | {"type": "SECONDARY"}], State.WRONG, "it is SECONDARY"),
        (True, [ZONE | {"status": "ERROR"}], State.WRONG, "its status is ERROR"),
        (False, [], State.MISSING, "Designate is not in the catalog"),
    ],
    ids=["there", "pending", "missing", "secondary", "error", "no Designate"],
)
def test_what_is_said_of_the_zone(cataloged: bool, zones: list[dict[str, str]], state: State, mend: str) -> None:
    asked: list[dict[str, str]] = []

    def get(path: str, **params: str) -> dict[str, Any]:
        asked.append(params)
        return {"zones": zones}

    services = cast(Services, SimpleNamespace(has=lambda service: cataloged, names=SimpleNamespace(get=get)))
    settings = Settings(Credentials("http://keystone/v3", "coffer", "secret", "service"), "network", "group")
    steps = Bootstrap(services, services, settings, Wanted("10.0.0.0/8", "RegionOne", (), zone="db.example"), make=True)
    (finding,) = steps._zone()
    assert (finding.what, finding.name, finding.state) == ("zone", "db.example", state)
    assert finding.mend.startswith(mend)
    assert asked == ([{"name": "db.example."}] if cataloged else [])
