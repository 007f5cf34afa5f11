"""Fixtures: servers of each kind, torn down whatever happens."""

from collections.abc import Iterator

import pytest

from tests.guest_agent.receiver import Receiver, open_receiver
from tests.guest_agent.server import Server, running_server


@pytest.fixture
def bare_server() -> Iterator[Server]:
    """A server that has not been booted."""
    server = Server("stub", agent_module="tests.support.stub_agent")
    try:
        yield server
    finally:
        server.destroy()


@pytest.fixture
def stub() -> Iterator[Server]:
    with running_server("stub", agent_module="tests.support.stub_agent") as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with open_receiver() as receiver:
        yield receiver
