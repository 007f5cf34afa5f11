"""Real clients, a real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.clients.serving import Served, serving
from tests.support.stack import Stack, running


@pytest.fixture(scope="session")
def client_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """So that no client reads or writes the user's own files."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOME", str(home))
        patched.setenv("TROVECLIENT_UUID_CACHE_DIR", str(home / "cache"))
        for name in ("OS_CLOUD", "OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_TOKEN"):
            patched.delenv(name, raising=False)
        yield home


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, client_home: Path) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as served, pytest.MonkeyPatch.context() as patched:
        patched.setenv("OS_CLIENT_CONFIG_FILE", str(served.clouds))
        yield served


@pytest.fixture(scope="module")
def stack(client_home: Path) -> Iterator[Stack]:
    with running() as stack, pytest.MonkeyPatch.context() as patched:
        patched.setenv("OS_CLIENT_CONFIG_FILE", str(stack.clouds))
        yield stack
