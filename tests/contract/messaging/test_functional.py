"""python-zaqarclient's own functional tests, against this API with keystone authentication, as the administrator.

Left out: subscriptions; one that wants the question whether a queue exists to fail; and two that want a reserved key
(`_enable_encrypt_messages`) not to be shown, which Zaqar shows too.  The tests of pools and flavors name a MongoDB; they get another store.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from zaqarclient.tests import base
from zaqarclient.tests.queues import base as queues_base
from zaqarclient.tests.queues import claims, flavor, health, pool, queues
from zaqarclient.transport.http import HttpTransport

from tests.api.stand import PASSWORDS
from tests.contract.clients.openstack_cli import Cli
from tests.contract.clients.serving import Served

THEIR_STORE = "mongodb://127.0.0.1:27017"


@pytest.fixture(scope="module", autouse=True)
def configured(served: Served) -> Iterator[None]:
    """What the suite takes from its environment when it is imported."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OS_CLOUD", "admin")
        patched.setattr(base, "_USE_AUTHENTICATION", True)
        patched.setattr(base, "_RUN_FUNCTIONAL", True)
        patched.setattr(base.TestBase, "_setup_auth_params", _authenticate(served))
        patched.setattr(queues_base.QueuesTestBase, "url", f"{served.url}/messaging")
        yield


def _authenticate(served: Served) -> Any:
    def set_up(self: Any) -> None:
        self.conf["auth_opts"] = {
            "backend": "keystone",
            "options": {
                "os_username": "admin",
                "os_password": PASSWORDS["admin"],
                "os_user_domain_id": "default",
                "os_project_name": "project-admin",
                "os_project_id": "",
                "os_project_domain_id": "default",
                "os_auth_url": f"{served.url}/identity/v3",
            },
        }

    return set_up


@pytest.fixture
def placed(served: Served, tmp_path: Path) -> Iterator[None]:
    """A pool for the queues of the tests."""
    admin = Cli("admin")
    admin.run("messaging", "pool", "create", "default", f"sqlite:///{tmp_path}/default.db", "100")
    yield
    for queue in admin.json("messaging", "queue", "list", "--limit", "20"):
        admin.run("messaging", "queue", "delete", queue["Name"])
    admin.run("messaging", "pool", "delete", "default")


@pytest.fixture
def another_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In both directions, as these tests compare what they sent with what comes back."""
    ours = f"sqlite:///{tmp_path}/theirs.db"
    send = HttpTransport.send

    def sending(self: Any, request: Any) -> Any:
        if request.content:
            request.content = request.content.replace(THEIR_STORE, ours)
        answer = send(self, request)
        answer.content = answer.content.replace(ours, THEIR_STORE)
        return answer

    monkeypatch.setattr(HttpTransport, "send", sending)


class Functional:
    is_functional = True
    transport_cls = HttpTransport
    version = 2


@pytest.mark.usefixtures("placed")
class TestQueues(Functional, queues.QueuesV2QueueFunctionalTest):
    test_queue_exists_functional = None
    test_queue_subscriptions = None
    test_queue_metadata_functional = None
    test_queue_metadata_reload_functional = None


@pytest.mark.usefixtures("placed")
class TestClaims(Functional, claims.QueuesV2ClaimFunctionalTest):
    pass


@pytest.mark.usefixtures("another_store")
class TestPools(Functional, pool.QueuesV2PoolFunctionalTest):
    pass


@pytest.mark.usefixtures("another_store")
class TestFlavors(Functional, flavor.QueuesV2FlavorFunctionalTest):
    pass


class TestHealth(Functional, health.QueuesV2HealthFunctionalTest):
    pass
