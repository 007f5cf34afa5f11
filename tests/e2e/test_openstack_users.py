"""Whose databases they are: alice, bob and an administrator of a real Keystone, with the unmodified `openstack` command and with bare requests."""

import contextlib
from collections.abc import Iterator

import pytest
import requests

from tests.contract.clients.openstack_cli import Cli, Refused
from tests.contract.keystone.world import Keystone, Login
from tests.e2e.conftest import cli_of
from tests.e2e.test_openstack import created, deleted, names, shown
from tests.support.control_plane import ControlPlane
from tests.support.local_guest import eventually
from tests.support.testbed import Bed

pytestmark = [pytest.mark.openstack, pytest.mark.engines, pytest.mark.timeout(600)]

NAME = "db-of-alice"
GONE = r"No instance|404|not found|cannot be found"
EXPIRES_WITHIN = 60.0
TIMEOUT = 60.0


@pytest.fixture(scope="module")
def of_alice(bed: Bed, alice: Cli) -> Iterator[str]:
    """Id of an instance that is ACTIVE."""
    yield created(alice, bed, NAME, "redis")
    deleted(alice, NAME)


def status(plane: ControlPlane, login: Login, path: str, method: str = "GET", body: object = None) -> int:
    """Of a request under /v1.0/."""
    headers = {"X-Auth-Token": login.token}
    return requests.request(method, f"{plane.api}/v1.0/{path}", headers=headers, json=body, timeout=TIMEOUT).status_code


@pytest.mark.parametrize(
    "command",
    [
        ("instance", "show"),
        ("instance", "delete"),
        ("instance", "restart"),
        ("user", "list"),
        ("db", "list"),
        ("root", "show"),
        ("root", "enable"),
    ],
    ids=" ".join,
)
def test_another_project_finds_nothing(bob: Cli, alice: Cli, of_alice: str, command: tuple[str, str]) -> None:
    with pytest.raises(Refused, match=GONE):
        bob.run("database", *command, of_alice)
    assert alice.json("database", "instance", "show", of_alice)["status"] == "ACTIVE"


def test_each_lists_its_own(bob: Cli, alice: Cli, operator: Cli, of_alice: str) -> None:
    assert shown(alice, NAME)
    assert names(bob.json("database", "instance", "list")) == set()
    assert names(operator.json("database", "instance", "list")) == set()
    assert names(alice.json("database", "user", "list", of_alice)) == {"ada"}


def test_paths_of_another_project_are_forbidden(plane: ControlPlane, keystone: Keystone, of_alice: str) -> None:
    alice, bob, admin = (keystone.login(user) for user in ("alice", "bob", "admin"))
    mine = f"{alice.project_id}/instances/{of_alice}"
    assert status(plane, alice, mine) == 200
    assert status(plane, bob, mine) == status(plane, admin, mine) == 403
    assert status(plane, bob, mine, "DELETE") == status(plane, admin, mine, "DELETE") == 403
    assert status(plane, bob, f"{alice.project_id}/operations") == 403
    assert status(plane, bob, f"{bob.project_id}/instances/{of_alice}") == 404


def test_quotas_are_an_administrators(plane: ControlPlane, keystone: Keystone, alice: Cli, bob: Cli, operator: Cli) -> None:
    project = keystone.login("bob").project_id
    for tenant in (alice, bob):
        with pytest.raises(Refused, match=r"403|Policy doesn't allow"):
            tenant.run("database", "quota", "update", project, "instances", "50")
    operator.run("database", "quota", "update", project, "instances", "0")
    try:
        assert {q["Resource"]: q["Limit"] for q in bob.json("database", "quota", "show", project)}["instances"] == 0
        flavor = bob.json("database", "flavor", "list")[0]["Name"]
        with pytest.raises(Refused, match=r"413|[Qq]uota exceeded"):
            bob.run("database", "instance", "create", "too-many", "--flavor", flavor, "--size", "1", "--datastore", "redis")
    finally:
        operator.run("database", "quota", "update", project, "instances", "100")
    assert names(bob.json("database", "instance", "list")) == set()


def test_a_token_of_the_system_manages_and_owns_nothing(plane: ControlPlane, keystone: Keystone, of_alice: str) -> None:
    system, project = keystone.system(), keystone.login("alice").project_id
    assert status(plane, system, f"{project}/mgmt/quotas/{project}") == 200
    assert status(plane, system, f"{project}/operations") == 200
    assert status(plane, system, f"{project}/instances/{of_alice}") == 403
    assert status(plane, keystone.login("alice"), f"{project}/mgmt/quotas/{project}", "PUT", {"quotas": {"instances": 9}}) == 403


def with_token(plane: ControlPlane, login: Login) -> Cli:
    """The command, told a token and not how to get one."""
    endpoint = f"{plane.api}/v1.0/{login.project_id}"
    return Cli(login={"OS_AUTH_TYPE": "admin_token", "OS_TOKEN": login.token, "OS_ENDPOINT": endpoint})


def test_tokens_that_are_not_of_this_keystone(plane: ControlPlane, keystone: Keystone) -> None:
    mine = keystone.login("alice")
    assert with_token(plane, mine).json("database", "flavor", "list")
    foreign = Login("gAAAAABk" + mine.token[8:][::-1], mine.body)
    revoked = keystone.login("alice")
    keystone.revoke(revoked)
    for login in (foreign, revoked, Login("", mine.body)):
        with pytest.raises(Refused, match=r"401|auth_type|[Tt]oken"):
            with_token(plane, login).run("database", "instance", "list")
        assert status(plane, login, f"{mine.project_id}/instances") == 401


def test_a_token_that_expires(plane: ControlPlane, keystone: Keystone) -> None:
    login = short_lived(plane, keystone)
    path = f"{login.project_id}/instances"
    assert eventually(lambda: status(plane, login, path) == 401, EXPIRES_WITHIN)
    with pytest.raises(Refused, match="401"):
        with_token(plane, login).run("database", "instance", "list")


def short_lived(plane: ControlPlane, keystone: Keystone) -> Login:
    """One that has opened the API and will soon not; a busy machine needs more seconds for that."""
    for seconds in (5.0, 15.0, 45.0):
        with contextlib.suppress(requests.HTTPError):
            login = keystone.credential("alice", seconds)
            if status(plane, login, f"{login.project_id}/limits") == 200:
                return login
    raise AssertionError("every token had expired before it was used")


def test_a_wrong_password_is_keystones_to_refuse(keystone: Keystone) -> None:
    wrong = cli_of(keystone, "alice")
    wrong.login["OS_PASSWORD"] = "wr0ng"
    with pytest.raises(Refused, match="401"):
        wrong.run("database", "instance", "list")
