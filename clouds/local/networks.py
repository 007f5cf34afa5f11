"""Ports: every server has a loopback address of its own, so each engine can listen on its standard port."""

import hashlib
import ipaddress
from collections.abc import Iterator

from clouds.local.procfs import listening
from clouds.local.state import Record, State, short_id
from clouds.ports import CloudError, Port, WantPort

FIRST = ipaddress.IPv4Address("127.64.0.0")
LAST = ipaddress.IPv4Address("127.254.255.255")
ENGINE_PORTS = (3306, 5432, 6379, 27017)
PROBES = 256


class LocalNetworks:
    def __init__(self, state: State, ssh_port: int) -> None:
        self._state = state
        self._service_ports = frozenset((ssh_port, *ENGINE_PORTS))

    def create_port(self, want: WantPort) -> Port:
        id = short_id(want.key)
        with self._state.working_on(id), self._state.registry():
            record = self._state.ports.read(id)
            if record is None:
                record = {
                    "id": id,
                    "key": want.key,
                    "owner": want.owner,
                    "address": self._free_address(want),
                    "network_id": want.network_id,
                }
                self._state.ports.write(record)
            return _port(record)

    def show_port(self, key: str) -> Port | None:
        record = self._state.ports.read(short_id(key))
        return _port(record) if record else None

    def ports_of(self, owner: str) -> list[Port]:
        return [port for port in self.ports() if port.owner == owner]

    def ports(self) -> list[Port]:
        return [_port(record) for record in self._state.ports.all()]

    def delete_port(self, key: str) -> None:
        """Raises CloudError 409 while a server answers at its address."""
        id = short_id(key)
        with self._state.working_on(id), self._state.registry():
            if any(server["port_id"] == id for server in self._state.servers.all()):
                raise CloudError(f"Port {key} is in use by a server.", 409)
            self._state.ports.remove(id)

    def _free_address(self, want: WantPort) -> str:
        taken = {record["address"] for record in self._state.ports.all()}
        taken |= {address for address, port in listening() if port in self._service_ports}
        if want.ip_address is not None:
            return _wanted_address(want.ip_address, taken)
        for address in _candidates(want.key):
            if address not in taken:
                return address
        raise CloudError("No loopback address is free for the port.", 503)


def _candidates(key: str) -> Iterator[str]:
    """Spread by the key, since several state directories share a host without knowing each other."""
    for attempt in range(PROBES):
        digest = hashlib.sha256(f"{key}/{attempt}".encode()).digest()
        yield f"127.{64 + digest[0] % 191}.{digest[1]}.{1 + digest[2] % 254}"


def _wanted_address(text: str, taken: set[str]) -> str:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise CloudError(f"{text!r} is no IPv4 address.", 400) from None
    if not FIRST < address < LAST:
        raise CloudError(f"{address} is not between {FIRST} and {LAST}.", 400)
    if str(address) in taken:
        raise CloudError(f"{address} is taken.", 400)
    return str(address)


def _port(record: Record) -> Port:
    return Port(record["id"], record["key"], record["owner"], record["address"], record["network_id"])
