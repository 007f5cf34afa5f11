"""Which rules of a security group let the workers in."""

import ipaddress
from typing import Any

import pytest

from clouds.openstack.bootstrap import credentials_of, lets_in

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
