"""TCP ports of the control plane: the chosen ones are free, or the user learns which is not."""

import ipaddress
import random
import socket
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CliError

USUAL = {"api": 8779, "temporal": 7233, "ui": 8233}
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


@dataclass(frozen=True)
class Ports:
    api: int
    temporal: int
    ui: int


@dataclass(frozen=True)
class WantPorts:
    """None: as last time, or the usual one.  0: as last time when that is free, or any free one."""

    api: int | None = None
    temporal: int | None = None
    ui: int | None = None


USUALLY = WantPorts()
ANY = WantPorts(0, 0, 0)


def check_loopback(host: str) -> None:
    if host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError as e:
        raise CliError(f"--host {host} is not an address") from e
    if not loopback:
        raise CliError(
            f"--host {host} can be reached from other machines, and the development identity is for this one only",
            "bind to 127.0.0.1; for a network, deploy with Keystone: docs/operator",
        )


def choose(host: str, want: WantPorts, before: Ports | None) -> Ports:
    """The ports to use.  Raises CliError when one that was asked for is taken."""
    chosen: dict[str, int] = {}
    for name, usual in USUAL.items():
        asked = getattr(want, name)
        last = getattr(before, name) if before else None
        if asked == 0:
            chosen[name] = (
                last if last and is_free(host, last) and last not in chosen.values() else any_free(host, set(chosen.values()))
            )
            continue
        port = chosen[name] = asked or last or usual
        if not is_free(host, port) or list(chosen.values()).count(port) > 1:
            raise CliError(
                f"port {port} on {host} is in use, and is to be the {name} port",
                f"choose another: --{name}-port N (0: any free one)",
            )
    return Ports(**chosen)


def is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, port))
            s.listen()
        except OSError:
            return False
    return True


def any_free(host: str, taken: set[int]) -> int:
    """A free port below those that outgoing connections use: one of theirs could be gone when a process comes back for it."""
    top = int(EPHEMERAL.read_text().split()[0])
    for port in random.sample(range(10_000, max(top, 20_000)), 200):
        if port not in taken and is_free(host, port):
            return port
    raise CliError(f"found no free port on {host}")
