"""network_data.json as files for systemd-networkd: what is not described there asks DHCP."""

import ipaddress
import re
from pathlib import Path
from typing import Any

DIRECTORY = Path("/run/systemd/network")
MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}", re.ASCII)


def render(network_data: dict[str, Any]) -> dict[str, str]:
    """File names and contents, one for each link.  Raises ValueError, KeyError or TypeError for what is no network_data.json."""
    files = {}
    for number, link in enumerate(network_data.get("links", ())):
        mac = str(link["ethernet_mac_address"]).lower()
        if not MAC.fullmatch(mac):
            raise ValueError(f"{mac!r} is no MAC address")
        networks = [network for network in network_data.get("networks", ()) if network["link"] == link["id"]]
        lines = ["[Match]", f"MACAddress={mac}"]
        if link.get("mtu"):
            lines += ["[Link]", f"MTUBytes={int(link['mtu'])}"]
        lines += ["[Network]", "LLDP=no", *_dhcp(networks), *_name_servers(networks, network_data)]
        for network in networks:
            lines += _address(network)
        files[f"10-link{number}.network"] = "\n".join(lines) + "\n"
    return files


def write(network_data: dict[str, Any], directory: Path = DIRECTORY) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in render(network_data).items():
        (directory / name).write_text(content, encoding="ascii")


def _dhcp(networks: list[dict[str, Any]]) -> list[str]:
    kinds = {str(network["type"]) for network in networks}
    four, six = "ipv4_dhcp" in kinds or not kinds, any(kind.startswith("ipv6_") for kind in kinds) or not kinds
    return [
        f"DHCP={'yes' if four and six else 'ipv4' if four else 'ipv6' if six else 'no'}",
        f"IPv6AcceptRA={'yes' if six else 'no'}",
    ]


def _name_servers(networks: list[dict[str, Any]], network_data: dict[str, Any]) -> list[str]:
    services = [*network_data.get("services", ()), *(one for network in networks for one in network.get("services", ()))]
    found = [str(ipaddress.ip_address(service["address"])) for service in services if service.get("type") == "dns"]
    return [f"DNS={address}" for address in dict.fromkeys(found)]


def _address(network: dict[str, Any]) -> list[str]:
    if network["type"] not in ("ipv4", "ipv6"):
        return []
    address = _interface(network["ip_address"], network.get("netmask"))
    lines = ["[Address]", f"Address={address}"]
    for route in network.get("routes", ()):
        to = _interface(route["network"], route.get("netmask")).network
        lines += ["[Route]", f"Gateway={ipaddress.ip_address(route['gateway'])}", f"Destination={to}"]
    return lines


def _interface(address: str, netmask: str | None) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    """With its prefix, which OpenStack writes as a mask, for IPv6 too."""
    if netmask is None or "/" in address:
        return ipaddress.ip_interface(address)
    prefix = int(ipaddress.ip_address(netmask)).bit_count()
    return ipaddress.ip_interface(f"{address}/{prefix}")
