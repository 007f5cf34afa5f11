from collections.abc import Iterator

import pytest

from tests.support.world import Temporal, World, Zygote


@pytest.fixture(scope="session")
def temporal() -> Iterator[Temporal]:
    server = Temporal()
    yield server
    server.close()


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    z = Zygote()
    yield z
    z.close()


@pytest.fixture
def world(temporal: Temporal, zygote: Zygote) -> Iterator[World]:
    w = World(temporal, zygote)
    yield w
    w.close()
