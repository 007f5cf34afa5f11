"""What clouds/ports.py promises, tried on every driver."""

import dataclasses
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from clouds.ports import CloudError, Port, Server, ServerStatus, Volume, VolumeStatus
from tests.contract.clouds.conftest import Driver, Things, patiently
from tests.support.local_guest import eventually

FORK = multiprocessing.get_context("fork")


def racing(make: Callable[[], object], ways: int = 4) -> list[object]:
    with ThreadPoolExecutor(ways) as threads:
        return list(threads.map(lambda _: make(), range(ways)))


def test_nothing_is_there_before_it_is_made(things: Things) -> None:
    cloud = things.cloud
    assert cloud.networks.show_port(things.key) is None
    assert cloud.volumes.show_volume(things.key) is None
    assert cloud.compute.show_server(things.key) is None
    assert (cloud.networks.ports_of(things.key), cloud.volumes.volumes_of(things.key)) == ([], [])
    assert cloud.compute.servers_of(things.key) == []


def test_absence_is_accepted(things: Things) -> None:
    for _ in range(2):
        things.cloud.compute.delete_server(things.key)
        things.cloud.volumes.delete_volume(things.key)
        things.cloud.networks.delete_port(things.key)


@pytest.mark.short
def test_a_port_is_made_found_and_removed(things: Things) -> None:
    port = things.port()
    assert (port.key, port.owner) == (things.key, things.key)
    assert things.port() == port == things.cloud.networks.show_port(things.key)
    assert things.cloud.networks.ports_of(things.key) == [port]
    things.cloud.networks.delete_port(things.key)
    assert things.cloud.networks.show_port(things.key) is None


def test_two_ports_have_two_addresses(things: Things) -> None:
    other = dataclasses.replace(things, key=things.key + "-other")
    assert things.port().address != other.port().address
    other.remove()


def test_an_address_can_be_wanted_once(things: Things) -> None:
    address = things.port().address
    things.cloud.networks.delete_port(things.key)
    wanted = dataclasses.replace(things.want_port(), ip_address=address)
    assert things.cloud.networks.create_port(wanted).address == address
    with pytest.raises(CloudError) as refused:
        things.cloud.networks.create_port(dataclasses.replace(wanted, key=things.key + "-other"))
    assert refused.value.status == 400, "it would be tried again for an hour"


@pytest.mark.parametrize("address", ["10.0.0.1.7", "192.0.2.1", ""])
def test_an_impossible_address_is_refused(things: Things, address: str) -> None:
    with pytest.raises(CloudError) as refused:
        things.cloud.networks.create_port(dataclasses.replace(things.want_port(), ip_address=address))
    assert refused.value.status == 400


@pytest.mark.short
def test_a_volume_is_made_found_and_removed(things: Things) -> None:
    volume = things.volume()
    assert (volume.key, volume.owner, volume.size_gb) == (things.key, things.key, 1)
    ready = eventually(lambda: _available(things), 60)
    assert ready
    assert things.volume() == ready
    assert things.cloud.volumes.volumes_of(things.key) == [ready]
    things.cloud.volumes.delete_volume(things.key)
    assert eventually(lambda: things.cloud.volumes.show_volume(things.key) is None, 60)


@pytest.mark.parametrize("size", [0, -1])
def test_an_impossible_size_is_refused(things: Things, size: int) -> None:
    with pytest.raises(CloudError) as refused:
        things.cloud.volumes.create_volume(dataclasses.replace(things.want_volume(), size_gb=size))
    assert refused.value.status == 400


@pytest.mark.short
def test_a_server_is_made_found_and_removed(things: Things, driver: Driver) -> None:
    server = things.server()
    assert (server.key, server.owner) == (things.key, things.key)
    active = eventually(lambda: _active(things), 60)
    assert active
    port = things.cloud.networks.show_port(things.key)
    assert port is not None
    assert active.address == port.address
    assert things.cloud.compute.create_server(things.want_server()) == active
    assert things.cloud.compute.servers_of(things.key) == [active]
    assert driver.connect().compute.show_server(things.key) == active
    assert driver.doubled(things.key) == []
    things.cloud.compute.delete_server(things.key)
    assert eventually(lambda: things.cloud.compute.show_server(things.key) is None, 60)


def test_a_key_can_be_used_again_after_removal(things: Things, driver: Driver) -> None:
    for _ in range(2):
        things.server()
        assert eventually(lambda: _active(things), 60)
        assert driver.doubled(things.key) == []
        things.remove()


def test_a_server_comes_back_from_a_reboot(things: Things, driver: Driver) -> None:
    things.server()
    assert eventually(lambda: _active(things), 60)
    for _ in range(2):
        things.cloud.compute.reboot_server(things.key)
        assert eventually(lambda: _active(things), 60)
        assert driver.doubled(things.key) == []


def test_there_is_no_reboot_of_what_is_not_there(things: Things) -> None:
    with pytest.raises(CloudError) as refused:
        things.cloud.compute.reboot_server(things.key)
    assert refused.value.status == 404


@pytest.mark.parametrize("port_is_there", [True, False])
def test_a_server_needs_its_port_and_volume(things: Things, port_is_there: bool) -> None:
    things.port()
    things.volume()
    assert eventually(lambda: _available(things), 60)
    want, nothing = things.want_server(), things.key + "-nothing"
    missing = dataclasses.replace(want, volume_key=nothing) if port_is_there else dataclasses.replace(want, port_key=nothing)
    with pytest.raises(CloudError) as refused:
        things.cloud.compute.create_server(missing)
    assert refused.value.status == 400
    assert things.cloud.compute.show_server(things.key) is None


def test_a_volume_in_use_stays(things: Things) -> None:
    things.server()
    in_use = things.cloud.volumes.show_volume(things.key)
    assert in_use is not None
    assert in_use.status == VolumeStatus.IN_USE
    with pytest.raises(CloudError) as refused:
        things.cloud.volumes.delete_volume(things.key)
    assert refused.value.status == 409
    things.cloud.compute.delete_server(things.key)
    assert eventually(lambda: _available(things), 60)


def test_a_volume_serves_one_server(things: Things) -> None:
    things.server()
    other = dataclasses.replace(things, key=things.key + "-other")
    other.port()
    with pytest.raises(CloudError) as refused:
        things.cloud.compute.create_server(dataclasses.replace(other.want_server(), volume_key=things.key))
    assert refused.value.status == 409
    other.remove()


@pytest.mark.short
def test_owners_see_their_own_only(things: Things) -> None:
    other = dataclasses.replace(things, key=things.key + "-other")
    port, volume, server = things.port(), things.volume(), things.server()
    other.port()
    other.volume()
    assert things.cloud.networks.ports_of(things.key) == [port]
    assert [one.id for one in things.cloud.volumes.volumes_of(things.key)] == [volume.id]
    assert [one.id for one in things.cloud.compute.servers_of(things.key)] == [server.id]
    assert things.cloud.compute.servers_of(other.key) == []
    other.remove()


def test_everything_that_was_made_is_listed(things: Things) -> None:
    server = things.server()
    cloud = things.cloud
    assert [one.id for one in cloud.compute.servers()] == [server.id]
    assert [(one.key, one.owner) for one in cloud.volumes.volumes()] == [(things.key, things.key)]
    assert [(one.key, one.owner) for one in cloud.networks.ports()] == [(things.key, things.key)]


def test_threads_that_race_make_one_of_each(things: Things, driver: Driver) -> None:
    assert len({port.id for port in racing(things.port) if isinstance(port, Port)}) == 1
    assert len({volume.id for volume in racing(lambda: patiently(things.volume)) if isinstance(volume, Volume)}) == 1
    assert len({server.id for server in racing(things.server) if isinstance(server, Server)}) == 1
    assert eventually(lambda: _active(things), 60)
    assert driver.doubled(things.key) == []
    racing(things.remove)
    assert driver.left() == []


def test_processes_that_race_make_one_server_and_remove_it(things: Things, driver: Driver) -> None:
    def race(work: Callable[[Things], object]) -> None:
        racers = [FORK.Process(target=lambda: work(dataclasses.replace(things, cloud=driver.connect()))) for _ in range(4)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join(60)
            assert racer.exitcode == 0

    race(Things.server)
    assert len(things.cloud.compute.servers_of(things.key)) == 1
    assert eventually(lambda: _active(things), 60)
    assert driver.doubled(things.key) == []
    race(Things.remove)
    assert driver.left() == []


def test_no_representation_holds_the_host_key(things: Things) -> None:
    want = things.want_server()
    assert "PRIVATE KEY" in want.boot.host_key
    assert "PRIVATE KEY" not in repr(want) + repr(things.server())


def _available(things: Things) -> Volume | None:
    volume = things.cloud.volumes.show_volume(things.key)
    return volume if volume is not None and volume.status == VolumeStatus.AVAILABLE else None


def _active(things: Things) -> Server | None:
    server = things.cloud.compute.show_server(things.key)
    assert server is None or server.status != ServerStatus.ERROR, server.fault
    return server if server is not None and server.status == ServerStatus.ACTIVE else None
