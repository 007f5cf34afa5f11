"""The drivers under the contract.  A driver joins by a context manager in DRIVERS that yields a Driver."""

import contextlib
import dataclasses
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from clouds.local import local_cloud
from clouds.local.state import short_id
from clouds.ports import Cloud, CloudError, Port, Server, Volume, VolumeStatus, WantPort, WantServer, WantVolume
from guests.keys import new_key_pair
from tests.support.audit import inits_of, left_of
from tests.support.local_guest import eventually, short_directory, want_server
from tests.support.testbed import CLOUDS_FILE, Bed, testbed

LOGIN, HOST = new_key_pair(), new_key_pair()
T = TypeVar("T")


@dataclass(frozen=True)
class Driver:
    """What the suite needs to know of a driver beside the ports."""

    connect: Callable[[], Cloud]
    """A client of the same cloud, as another process has it."""
    left: Callable[[], list[str]]
    """Whatever exists in the cloud, seen without the driver's help."""
    doubled: Callable[[str], list[str]]
    """What there is more than once, or not at all, of a complete server with this key."""
    source: str
    """Directory of the driver's code: in each of its lines a crash is tried."""
    samples: int = 12
    """At how many of those lines on every push."""
    image_id: str = "image"
    flavor_id: str = "1"
    zone: str = ""
    """That records may be made in; empty: there is none."""
    resolve: Callable[[str], list[str]] = lambda name: []
    """The addresses that whoever asks for a name is told, of both families."""


@contextlib.contextmanager
def local_driver() -> Iterator[Driver]:
    if shutil.which("sshd", path=os.defpath + ":/usr/sbin") is None:
        pytest.skip("openssh-server is not installed")
    with short_directory() as directory:

        def doubled(key: str) -> list[str]:
            inits = inits_of(directory / "servers" / short_id(key))
            return [] if len(inits) == 1 else [f"{len(inits)} inits: {inits}"]

        yield Driver(
            connect=lambda: local_cloud(directory, agent_module="tests.support.echo_agent"),
            left=lambda: left_of(directory),
            doubled=doubled,
            source=str(Path(__file__).resolve().parents[3] / "clouds/local"),
            zone="db.test",
            resolve=lambda name: in_hosts(directory / "hosts", name),
        )


@contextlib.contextmanager
def openstack_driver() -> Iterator[Driver]:
    if not CLOUDS_FILE:
        pytest.skip("COFFER_TESTBED_CLOUDS names no OpenStack")
    with testbed() as bed:
        yield Driver(
            connect=bed.connect,
            left=bed.left,
            doubled=lambda key: doubled_in(bed, key),
            source=str(Path(__file__).resolve().parents[3] / "clouds/openstack"),
            samples=4,
            image_id=bed.image("idle", ""),
            flavor_id=bed.flavor_id,
            zone=bed.zone(),
            resolve=bed.resolve,
        )


def in_hosts(file: Path, name: str) -> list[str]:
    lines = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
    return [address for address, known in lines if known == name]


def doubled_in(bed: Bed, key: str) -> list[str]:
    named = [thing for thing in bed.held() if thing.endswith(key)]
    return [] if len(named) == 3 else [f"{len(named)} things: {named}"]


DRIVERS = {"local": local_driver, "openstack": openstack_driver}


@pytest.fixture(
    scope="module", params=["local", pytest.param("openstack", marks=[pytest.mark.openstack, pytest.mark.timeout(600)])]
)
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    with DRIVERS[request.param]() as driver:
        yield driver


@pytest.fixture
def cloud(driver: Driver) -> Cloud:
    return driver.connect()


@dataclass(frozen=True)
class Things:
    """A port, a volume and a server by one key of their own, and an owner nobody else has."""

    cloud: Cloud
    key: str
    image_id: str = "image"
    flavor_id: str = "1"

    def want_port(self) -> WantPort:
        return WantPort(self.key, self.key)

    def want_volume(self) -> WantVolume:
        return WantVolume(self.key, self.key, 1)

    def want_server(self) -> WantServer:
        want = want_server(self.key, LOGIN, HOST, owner=self.key)
        return dataclasses.replace(want, image_id=self.image_id, flavor=dataclasses.replace(want.flavor, id=self.flavor_id))

    def port(self) -> Port:
        return self.cloud.networks.create_port(self.want_port())

    def volume(self) -> Volume:
        return self.cloud.volumes.create_volume(self.want_volume())

    def server(self) -> Server:
        self.port()
        patiently(self.volume)
        assert eventually(self.has_volume, 60)
        return patiently(lambda: self.cloud.compute.create_server(self.want_server()))

    def has_volume(self) -> bool:
        volume = self.cloud.volumes.show_volume(self.key)
        return volume is not None and volume.status in (VolumeStatus.AVAILABLE, VolumeStatus.IN_USE)

    def remove(self) -> None:
        self.cloud.compute.delete_server(self.key)
        assert eventually(lambda: self.cloud.compute.show_server(self.key) is None, 60)
        patiently(lambda: self.cloud.volumes.delete_volume(self.key))
        assert eventually(lambda: self.cloud.volumes.show_volume(self.key) is None, 60)
        self.cloud.networks.delete_port(self.key)


def patiently(call: Callable[[], T]) -> T:
    """As an activity makes a call: again, as long as another's half-done work is in the way."""
    refusals: list[CloudError] = []

    def tried() -> list[T]:
        try:
            return [call()]
        except CloudError as error:
            if error.status != 409:
                raise
            refusals.append(error)
            return []

    done = eventually(tried, 60)
    assert done, refusals[-1]
    return done[0]


@pytest.fixture
def things(driver: Driver, cloud: Cloud) -> Iterator[Things]:
    things = Things(cloud, f"coffer-{uuid.uuid4()}", driver.image_id, driver.flavor_id)
    yield things
    things.remove()
    assert driver.left() == []
