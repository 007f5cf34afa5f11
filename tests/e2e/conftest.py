"""One control plane on an OpenStack for all tests here, and its users: by Keystone's passwords, the API found in the catalog."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.clients.openstack_cli import Cli
from tests.contract.keystone.world import Keystone, of_clouds
from tests.support.control_plane import ControlPlane, control_plane
from tests.support.testbed import CLOUDS_FILE, Bed


@pytest.fixture(scope="session")
def plane(bed: Bed) -> Iterator[ControlPlane]:
    with (
        tempfile.TemporaryDirectory(prefix="co-", dir="/tmp") as directory,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("HOME", directory)
        for name in [name for name in os.environ if name.startswith("OS_")]:
            patched.delenv(name)
        with control_plane(Path(directory), bed) as plane:
            yield plane


@pytest.fixture(scope="session")
def keystone(plane: ControlPlane) -> Keystone:
    return of_clouds(Path(CLOUDS_FILE))


def cli_of(keystone: Keystone, user: str) -> Cli:
    who = keystone.users[user]
    domains = {"OS_USER_DOMAIN_NAME": who["user_domain_name"], "OS_PROJECT_DOMAIN_NAME": who["project_domain_name"]}
    login = {"OS_USERNAME": user, "OS_PASSWORD": who["password"], "OS_PROJECT_NAME": who["project_name"]}
    return Cli(login={"OS_AUTH_URL": keystone.auth_url, "OS_IDENTITY_API_VERSION": "3", **login, **domains})


@pytest.fixture(scope="session")
def alice(keystone: Keystone) -> Cli:
    return cli_of(keystone, "alice")


@pytest.fixture(scope="session")
def bob(keystone: Keystone) -> Cli:
    return cli_of(keystone, "bob")


@pytest.fixture(scope="session")
def operator(keystone: Keystone) -> Cli:
    return cli_of(keystone, "admin")
