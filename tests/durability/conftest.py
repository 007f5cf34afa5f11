import os
from collections.abc import Iterator

import pytest

from tests.support.openstack_world import TIMEOUT_SCALE, OpenStackWorld
from tests.support.testbed import CLOUDS_FILE, Bed, testbed
from tests.support.world import Temporal, World, Zygote

CLOUD = os.environ.get("COFFER_DURABILITY_CLOUD", "local")
"""`openstack`: the same faults on the cloud that COFFER_TESTBED_CLOUDS names (make durability-openstack)."""


@pytest.fixture(scope="session")
def temporal() -> Iterator[Temporal]:
    server = Temporal()
    yield server
    server.close()


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    z = Zygote(TIMEOUT_SCALE) if CLOUD == "openstack" else Zygote()
    yield z
    z.close()


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed | None]:
    if CLOUD != "openstack":
        yield None
        return
    assert CLOUDS_FILE, "COFFER_TESTBED_CLOUDS names no OpenStack"
    with testbed() as found:
        yield found


@pytest.fixture
def world(temporal: Temporal, zygote: Zygote, bed: Bed | None) -> Iterator[World]:
    w = OpenStackWorld(bed, temporal, zygote) if bed else World(temporal, zygote)
    yield w
    w.close()
