"""A machine on a tenant's network of the testbed: a network namespace on that network's bridge, as if it were one of the tenant's servers."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.world import ROOT

CONNECTS = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()"
USES = "import sys; from tests.support.engines import usable; sys.exit(not usable(*sys.argv[1:]))"


@dataclass(frozen=True)
class Neighbour:
    namespace: str

    def connects(self, host: str, port: int) -> bool:
        return self._runs(CONNECTS, host, str(port))

    def uses(self, engine: str, host: str, user: str, password: str) -> bool:
        return self._runs(USES, engine, host, user, password)

    def _runs(self, code: str, *args: str) -> bool:
        inside = ["ip", "netns", "exec", self.namespace, sys.executable, "-c", code, *args]
        return subprocess.run(inside, cwd=ROOT, capture_output=True, timeout=60).returncode == 0


@contextmanager
def neighbour(tenant: Any, network: Any, address: str) -> Iterator[Neighbour]:
    """At `address` of the tenant's network, on which the testbed has a server already: the bridge is there."""
    subnet = tenant.network.get_subnet(network.subnet_ids[0])
    prefix, name = subnet.cidr.partition("/")[2], f"nb{uuid.uuid4().hex[:10]}"
    port = tenant.network.create_port(network_id=network.id, fixed_ips=[{"subnet_id": subnet.id, "ip_address": address}])
    try:
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", name, "master", f"tb{network.id[:12]}", "up")
        for words in (
            ("link", "set", "lo", "up"),
            ("link", "set", "eth0", "up"),
            ("address", "add", f"{address}/{prefix}", "dev", "eth0"),
            ("route", "add", "default", "via", subnet.gateway_ip),
        ):
            _ip("-n", name, *words)
        yield Neighbour(name)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
        tenant.network.delete_port(port)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
