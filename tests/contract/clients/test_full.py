"""The same clients against a whole Coffer with a real engine: databases, users, grants, root, restart, delete."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import openstack
import pytest

from tests.contract.clients.openstack_cli import Cli, Refused
from tests.support.stack import Stack

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

PASSWORD = "Gr8-secret"
BUILT_WITHIN = 120
SUPERUSERS = ("root", "postgres")


def until(true: Callable[[], Any], within: float = BUILT_WITHIN) -> Any:
    """What `true` gives once it gives something."""
    deadline = time.monotonic() + within
    while not (found := true()):
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.3)
    return found


@pytest.fixture(scope="module")
def cli(stack: Stack) -> Cli:
    return Cli("coffer")


@pytest.fixture(scope="module")
def sdk(stack: Stack) -> Iterator[Any]:
    with openstack.connect(cloud="coffer") as connection:
        yield connection


def status(sdk: Any, instance_id: str) -> str:
    found: str = sdk.database.get_instance(instance_id).status
    assert found != "ERROR"
    return found


@pytest.fixture(scope="module", params=["mariadb", "postgresql"])
def instance(request: pytest.FixtureRequest, cli: Cli, sdk: Any) -> Iterator[str]:
    """Made by the command line, with a database and a user; deleted at the end, which is a test too."""
    name = f"db-{request.param}"
    flavor = cli.json("database", "flavor", "list")[0]["Name"]
    options = (
        "--flavor",
        flavor,
        "--size",
        "1",
        "--datastore",
        request.param,
        "--databases",
        "app",
        "--users",
        f"ada:{PASSWORD}",
    )
    instance_id: str = cli.json("database", "instance", "create", name, *options)["id"]
    until(lambda: status(sdk, instance_id) == "ACTIVE")
    yield instance_id
    cli.run("database", "instance", "delete", name)
    until(lambda: instance_id not in [i.id for i in sdk.database.instances()])


def names(rows: list[dict[str, Any]]) -> set[str]:
    return {row["Name"] for row in rows}


def test_databases_and_users_made_with_it(cli: Cli, instance: str) -> None:
    assert names(cli.json("database", "db", "list", instance)) == {"app"}
    [ada] = cli.json("database", "user", "list", instance)
    assert (ada["Name"], ada["Databases"]) == ("ada", "app")


def test_databases(cli: Cli, instance: str) -> None:
    cli.run("database", "db", "create", instance, "second")
    assert names(cli.json("database", "db", "list", instance)) == {"app", "second"}
    with pytest.raises(Refused):
        cli.run("database", "db", "create", instance, "second")
    cli.run("database", "db", "delete", instance, "second")
    assert names(cli.json("database", "db", "list", instance)) == {"app"}


def test_users_and_grants(cli: Cli, instance: str) -> None:
    cli.run("database", "user", "create", instance, "first.last", PASSWORD, "--databases", "app")
    assert names(cli.json("database", "user", "list", instance)) == {"ada", "first.last"}
    assert cli.json("database", "user", "show", instance, "first.last")["name"] == "first.last"
    cli.run("database", "user", "revoke", "access", instance, "first.last", "app")
    assert cli.json("database", "user", "show", "access", instance, "first.last") == []
    cli.run("database", "user", "grant", "access", instance, "first.last", "app")
    assert names(cli.json("database", "user", "show", "access", instance, "first.last")) == {"app"}
    cli.run(
        "database",
        "user",
        "update",
        "attributes",
        instance,
        "first.last",
        "--new_name",
        "renamed",
        "--new_password",
        PASSWORD + "2",
    )
    assert names(cli.json("database", "user", "list", instance)) == {"ada", "renamed"}
    cli.run("database", "user", "delete", instance, "renamed")
    assert names(cli.json("database", "user", "list", instance)) == {"ada"}
    with pytest.raises(Refused):
        cli.run("database", "user", "show", instance, "renamed")


def test_root(cli: Cli, instance: str) -> None:
    assert cli.json("database", "root", "show", instance) == {"is_root_enabled": False}
    enabled = cli.json("database", "root", "enable", instance)
    assert enabled["name"] in SUPERUSERS
    assert len(enabled["password"]) >= 20
    assert cli.json("database", "root", "enable", instance, "--root_password", PASSWORD)["password"] == PASSWORD
    assert cli.json("database", "root", "show", instance) == {"is_root_enabled": True}
    cli.run("database", "root", "disable", instance)


def test_sdk_databases_users_and_root(sdk: Any, instance: str) -> None:
    sdk.database.create_database(instance, name="of_sdk")
    assert {d.name for d in sdk.database.databases(instance, limit=1)} == {"app", "of_sdk"}
    sdk.database.create_user(instance, name="sdk", password=PASSWORD, databases=[{"name": "of_sdk"}])
    assert {u.name for u in sdk.database.users(instance)} == {"ada", "sdk"}
    sdk.database.delete_user("sdk", instance)
    sdk.database.delete_database("of_sdk", instance)
    assert {u.name for u in sdk.database.users(instance)} == {"ada"}
    assert sdk.database.get_instance(instance).enable_root_user(sdk.database)["name"] in SUPERUSERS


def test_restart(cli: Cli, sdk: Any, instance: str) -> None:
    cli.run("database", "instance", "restart", instance)
    until(lambda: status(sdk, instance) == "ACTIVE")
    assert names(cli.json("database", "db", "list", instance)) == {"app"}


def test_other_projects_see_nothing(stack: Stack, instance: str) -> None:
    other = Cli("coffer-other")
    assert other.json("database", "instance", "list") == []
    with pytest.raises(Refused):
        other.run("database", "instance", "show", instance)


def test_redis_has_users_and_no_databases(cli: Cli, sdk: Any) -> None:
    flavor = cli.json("database", "flavor", "list")[0]["Name"]
    options = ("--flavor", flavor, "--size", "1", "--datastore", "redis", "--users", f"ada:{PASSWORD}")
    instance_id: str = cli.json("database", "instance", "create", "db-redis", *options)["id"]
    until(lambda: status(sdk, instance_id) == "ACTIVE")
    cli.run("database", "user", "create", "db-redis", "bob", PASSWORD)
    assert names(cli.json("database", "user", "list", "db-redis")) == {"ada", "bob"}
    with pytest.raises(Refused, match="has no databases"):
        cli.run("database", "db", "create", "db-redis", "app")
    cli.run("database", "user", "delete", "db-redis", "bob")
    cli.run("database", "instance", "delete", "db-redis")
    until(lambda: instance_id not in [i.id for i in sdk.database.instances()])
