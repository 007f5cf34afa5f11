import os
from collections.abc import Iterator

import pytest

from tests.support.faultproxy import FaultProxy, fault_proxy
from tests.support.openstack_world import TIMEOUT_SCALE, OpenStackWorld
from tests.support.testbed import CLOUDS_FILE
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


@pytest.fixture(scope="module")
def slow_zygote() -> Iterator[Zygote]:
    """For the tests that are on OpenStack whatever CLOUD says."""
    z = Zygote(TIMEOUT_SCALE)
    yield z
    z.close()


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with fault_proxy() as proxy:
        yield proxy


@pytest.fixture
def world(temporal: Temporal, zygote: Zygote, request: pytest.FixtureRequest) -> Iterator[World]:
    if CLOUD == "openstack":
        assert CLOUDS_FILE, "COFFER_TESTBED_CLOUDS names no OpenStack"
        w: World = OpenStackWorld(request.getfixturevalue("bed"), temporal, zygote)
    else:
        w = World(temporal, zygote)
    yield w
    w.close()
