from collections.abc import Iterator

import pytest

from guests.errors import GuestUnreachable
from guests.pool import GuestPool
from guests.transport import Endpoint
from tests.support.local_guest import LocalGuest, eventually, local_guest


@pytest.fixture(scope="package")
def guest() -> Iterator[LocalGuest]:
    """A real sshd and the real channel, with an agent behind it that only echoes."""
    with local_guest("tests.support.echo_agent") as started:
        assert eventually(lambda: answers(started.endpoint))
        yield started


@pytest.fixture
def pool() -> Iterator[GuestPool]:
    pool = GuestPool()
    yield pool
    pool.close()


def answers(endpoint: Endpoint) -> bool:
    pool = GuestPool()
    try:
        with pool.connected(endpoint) as client:
            return client.call("echo", {"a": 1}) == {"a": 1}
    except GuestUnreachable:
        return False
    finally:
        pool.close()
