"""What a server reads at its first boot: config drive, user data, network data, metadata service."""

import base64
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guest_agent.errors import InvalidRequest
from guest_agent.firstboot import configdrive, metadata, network, userdata


def cloud_config(*files: dict[str, Any]) -> bytes:
    return b"#cloud-config\n" + json.dumps({"write_files": list(files)}).encode()


def test_files_of_its_own_directory_are_written_and_no_others(tmp_path: Path) -> None:
    own, outside = tmp_path / "coffer-guest", tmp_path / "outside"
    given = cloud_config(
        {"path": str(own / "boot.json"), "content": "{}", "permissions": "0644", "owner": "root:root"},
        {"path": str(own / "more.json"), "content": base64.b64encode(b"\x00more").decode(), "encoding": "b64"},
        {"path": str(outside), "content": "x"},
        {"path": str(own / ".." / "outside"), "content": "x"},
        {"path": str(own / "deeper" / "boot.json"), "content": "x"},
    )
    assert userdata.write_files(given, own) == ["boot.json", "more.json"]
    assert (own / "boot.json").read_text() == "{}"
    assert (own / "boot.json").stat().st_mode & 0o777 == 0o600
    assert (own / "more.json").read_bytes() == b"\x00more"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["boot.json", "coffer-guest", "more.json"]


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"#!/bin/sh\ntouch /tmp/ran\n",
        b"#cloud-config\nwrite_files: []\n",
        b"#cloud-config\n{}",
        b"#cloud-config\n[1]",
        cloud_config({"path": "/etc/coffer-guest/a", "content": "?", "encoding": "b64"}),
        cloud_config({"path": "/etc/coffer-guest/a", "content": "", "encoding": "gz+b64"}),
        cloud_config({"path": "/etc/coffer-guest/a"}),
    ],
)
def test_other_user_data_is_refused_without_being_repeated(tmp_path: Path, given: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        userdata.write_files(given, tmp_path)
    assert "touch" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


NETWORK_DATA: dict[str, Any] = {
    "links": [
        {"id": "tap1", "ethernet_mac_address": "FA:16:3E:00:00:01", "mtu": 1450, "type": "ovs"},
        {"id": "tap2", "ethernet_mac_address": "fa:16:3e:00:00:02", "mtu": None, "type": "ovs"},
    ],
    "networks": [
        {
            "id": "network0",
            "type": "ipv4",
            "link": "tap1",
            "ip_address": "10.99.10.7",
            "netmask": "255.255.255.0",
            "routes": [
                {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.99.10.1"},  # noqa: S104  (the default route)
                {"network": "10.1.0.0", "netmask": "255.255.0.0", "gateway": "10.99.10.2"},
            ],
            "services": [{"type": "dns", "address": "10.99.10.3"}],
        },
        {
            "id": "network1",
            "type": "ipv6",
            "link": "tap1",
            "ip_address": "fd00::7",
            "netmask": "ffff:ffff:ffff:ffff::",
            "routes": [],
        },
        {"id": "network2", "type": "ipv4_dhcp", "link": "tap2"},
    ],
    "services": [{"type": "dns", "address": "10.99.10.3"}, {"type": "dns", "address": "fd00::3"}],
}


def test_network_data_becomes_units_of_networkd() -> None:
    fixed, dhcp = network.render(NETWORK_DATA).values()
    assert fixed.splitlines() == [
        "[Match]",
        "MACAddress=fa:16:3e:00:00:01",
        "[Link]",
        "MTUBytes=1450",
        "[Network]",
        "LLDP=no",
        "DHCP=no",
        "IPv6AcceptRA=no",
        "DNS=10.99.10.3",
        "DNS=fd00::3",
        "[Address]",
        "Address=10.99.10.7/24",
        "[Route]",
        "Gateway=10.99.10.1",
        "Destination=0.0.0.0/0",
        "[Route]",
        "Gateway=10.99.10.2",
        "Destination=10.1.0.0/16",
        "[Address]",
        "Address=fd00::7/64",
    ]
    assert "DHCP=ipv4" in dhcp
    assert "[Address]" not in dhcp


@pytest.mark.parametrize(
    "change",
    [
        {"links": [{"id": "a", "ethernet_mac_address": "x\n[Network]\nDHCP=no"}]},
        {"networks": [{"link": "tap1", "type": "ipv4", "ip_address": "10.0.0.1\nx", "netmask": "255.0.0.0"}]},
        {"links": [{"id": "a"}]},
    ],
)
def test_network_data_that_is_none_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError)):
        network.render(NETWORK_DATA | change)


def test_a_config_drive_that_is_mounted_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "openstack/latest").mkdir(parents=True)
    with configdrive.opened(tmp_path) as drive:
        assert drive == tmp_path / "openstack/latest"


class Metadata(http.server.BaseHTTPRequestHandler):
    refusals = 0

    def do_GET(self) -> None:
        if Metadata.refusals:
            Metadata.refusals -= 1
            self.send_error(503)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"user data of {self.path}".encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def service() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Metadata)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/openstack/latest"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_metadata_service_is_waited_for(service: str) -> None:
    Metadata.refusals = 1
    assert metadata.user_data(10, service) == b"user data of /openstack/latest/user_data"


def test_a_server_that_nobody_tells_anything_says_so() -> None:
    with pytest.raises(OSError, match="there is no config drive, and the metadata service gives no user data"):
        metadata.user_data(0, "http://127.0.0.1:1/openstack/latest")


def test_it_runs_without_site_packages() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "guest_agent.firstboot"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")
