"""Messaging's own clients, unmodified, against the API behind a real gunicorn."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.messaging.post_office import start_counters
from tests.contract.clients.conftest import client_home
from tests.contract.clients.serving import Served, serving

__all__ = ["client_home"]

CLIENT = "3381af92-2b9e-11e3-b191-71861300734c"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, client_home: Path) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as served, pytest.MonkeyPatch.context() as patched:
        patched.setenv("OS_CLIENT_CONFIG_FILE", str(served.clouds))
        patched.setenv("OS_MESSAGE_CLIENT_ID", CLIENT)
        start_counters(served.database)
        yield served
