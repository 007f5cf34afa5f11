"""A server of the embedded cloud for tests of what runs on it or talks to it."""

import contextlib
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from clouds.local import local_cloud
from clouds.local.layout import login_name
from clouds.ports import Cloud, Flavor, GuestBoot, Server, WantPort, WantServer, WantVolume
from guests.keys import KeyPair, new_key_pair
from guests.transport import Endpoint

T = TypeVar("T")
FLAVOR = Flavor("1", "test.small", 512, 1, 5)


@contextlib.contextmanager
def short_directory() -> Iterator[Path]:
    """Under /tmp, open to engine accounts, and short enough for Unix sockets below it."""
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def eventually(look: Callable[[], T], seconds: float = 10.0) -> T:
    """The first true value of `look`; the last one, whatever it is, when the time is over."""
    until = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < until:
        time.sleep(0.01)
    return found


@dataclass(frozen=True)
class LocalGuest:
    cloud: Cloud
    server: Server
    endpoint: Endpoint
    root: Path


@contextlib.contextmanager
def local_guest(agent_module: str = "guest_agent", manager: str = "mysql", version: str = "10.11") -> Iterator[LocalGuest]:
    """A started server, gone with all its parts at the end; its agent may need a moment yet."""
    with short_directory() as directory:
        cloud = local_cloud(directory, agent_module=agent_module)
        key, login, host = f"test-{uuid.uuid4()}", new_key_pair(), new_key_pair()
        cloud.networks.create_port(WantPort(key, "test"))
        cloud.volumes.create_volume(WantVolume(key, "test", 1))
        try:
            server = cloud.compute.create_server(want_server(key, login, host, manager=manager, version=version))
            endpoint = Endpoint(key, server.address, server.ssh_port, login.private, host.public, login_name())
            yield LocalGuest(cloud, server, endpoint, directory / "servers" / server.id)
        finally:
            cloud.compute.delete_server(key)
            cloud.volumes.delete_volume(key)
            cloud.networks.delete_port(key)


def want_server(
    key: str, login: KeyPair, host: KeyPair, *, owner: str = "test", manager: str = "mysql", version: str = "10.11"
) -> WantServer:
    """With a port and a volume of the same key."""
    boot = GuestBoot(key, manager, version, FLAVOR.ram_mb, login.public, host.private)
    return WantServer(key, owner, key, FLAVOR, "image", key, key, boot)
