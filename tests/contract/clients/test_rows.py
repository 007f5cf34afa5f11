"""`openstack database`, python-troveclient and openstacksdk against rows: all that needs no guest."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest
from openstack import exceptions as sdk_errors

from tests.api.stand import CANARY, PROJECTS
from tests.contract.clients.openstack_cli import Cli, Refused
from tests.contract.clients.serving import Served

CREATE = ("--flavor", "tiny", "--size", "1", "--datastore", "mariadb", "--datastore-version", "10.11")


@pytest.fixture
def cli(served: Served) -> Iterator[Cli]:
    """With no instance left over from before."""
    yield Cli("alpha")
    with served.database.write() as s:
        s.connection().exec_driver_sql("DELETE FROM instances")
        s.connection().exec_driver_sql("DELETE FROM quota_usages")


@pytest.fixture
def sdk(cli: Cli) -> Iterator[Any]:
    with openstack.connect(cloud="alpha") as connection:
        yield connection


def create(cli: Cli, name: str, *more: str) -> dict[str, Any]:
    made: dict[str, Any] = cli.json("database", "instance", "create", name, *CREATE, *more)
    return made


# -- the command line


def test_as_a_command_of_its_own(cli: Cli, served: Served) -> None:
    command = Path(sys.executable).with_name("openstack")
    ran = subprocess.run(
        [command, "--os-cloud", "alpha", "database", "flavor", "list", "-f", "value", "-c", "Name"],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=True,
    )
    assert ran.stdout.split() == ["tiny", "small"]


def test_identity(cli: Cli) -> None:
    assert cli.json("token", "issue")["project_id"] == PROJECTS["alpha"]
    assert {entry["Type"] for entry in cli.json("catalog", "list")} == {"database", "messaging", "identity"}
    assert [p["Name"] for p in cli.json("project", "list")] == ["project-alpha"]


def test_catalog(cli: Cli) -> None:
    assert [f["ID"] for f in cli.json("database", "flavor", "list")] == [1, "db.small"]
    assert cli.json("database", "flavor", "show", "db.small")["ram"] == 1024
    assert [d["Name"] for d in cli.json("datastore", "list")] == ["mariadb", "redis"]
    assert cli.json("datastore", "show", "mariadb")["name"] == "mariadb"
    assert [v["Name"] for v in cli.json("datastore", "version", "list", "mariadb")] == ["10.11"]
    assert cli.json("datastore", "version", "show", "10.11", "--datastore", "mariadb")["name"] == "10.11"
    version = cli.json("datastore", "version", "list", "mariadb")[0]["ID"]
    assert len(cli.json("database", "flavor", "list", "--datastore-type", "mariadb", "--datastore-version-id", version)) == 2


def test_life_of_an_instance(cli: Cli, served: Served) -> None:
    made = create(cli, "db", "--databases", "app", "log", "--users", f"ada:{CANARY}")
    assert (made["status"], made["datastore"], made["flavor"], made["volume"]) == ("BUILD", "mariadb", "1", 1)
    with pytest.raises(Refused, match="is not ready"):
        cli.run("database", "instance", "restart", "db")
    served.built(made["id"])
    [listed] = cli.json("database", "instance", "list")
    assert (listed["ID"], listed["Status"], listed["Operating Status"]) == (made["id"], "ACTIVE", "HEALTHY")
    cli.run("database", "instance", "update", made["id"], "--name", "other")
    shown = cli.json("database", "instance", "show", "other")
    assert (shown["id"], shown["ip"]) == (made["id"], "127.0.0.9")
    assert cli.json("database", "root", "show", "other") == {"is_root_enabled": False}
    cli.run("database", "instance", "restart", "other")
    assert cli.json("database", "instance", "show", "other")["status"] == "REBOOT"
    cli.run("database", "instance", "delete", "other")
    assert cli.json("database", "instance", "show", made["id"])["status"] == "SHUTDOWN"
    cli.run("database", "instance", "delete", made["id"])


def test_pages(cli: Cli) -> None:
    ids = [create(cli, f"db-{n}")["id"] for n in range(3)]
    assert [i["ID"] for i in cli.json("database", "instance", "list", "--limit", "2")] == ids[:0:-1]
    assert [i["ID"] for i in cli.json("database", "instance", "list", "--limit", "2", "--marker", ids[1])] == ids[:1]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("database", "instance", "create", "x", "--flavor", "tiny", "--datastore", "mariadb"), "Volume size was not specified"),
        (
            ("database", "instance", "create", "x", "--flavor", "tiny", "--size", "99", "--datastore", "mariadb"),
            "cannot exceed maximum",
        ),
        (
            ("database", "instance", "create", "x", "--flavor", "tiny", "--size", "1", "--datastore", "mysql"),
            "Datastore 'mysql' cannot be found",
        ),
        (
            (
                "database",
                "instance",
                "create",
                "x",
                "--flavor",
                "tiny",
                "--size",
                "1",
                "--datastore",
                "mariadb",
                "--nic",
                f"net-id={PROJECTS['alpha']}",
            ),
            "no networks of tenants: leave `nics` out",
        ),
        (
            ("database", "instance", "create", "x", "--flavor", "tiny", "--size", "1", "--datastore", "mariadb", "--is-public"),
            "no networks of tenants: leave `access` out",
        ),
        (("database", "instance", "show", "nobody"), "No .*with a name or ID of 'nobody' exists"),
        (("database", "quota", "update", PROJECTS["alpha"], "instances", "9"), "quota:update"),
    ],
)
def test_refusals_are_told(cli: Cli, args: tuple[str, ...], words: str) -> None:
    with pytest.raises(Refused, match=words):
        cli.run(*args)


def test_actions_that_are_to_come(cli: Cli, served: Served) -> None:
    served.built(create(cli, "db")["id"])
    with pytest.raises(Refused, match="not supported yet"):
        cli.run("database", "instance", "resize", "volume", "db", "3")
    with pytest.raises(Refused, match="not supported yet"):
        cli.run("database", "instance", "resize", "flavor", "db", "small")


def test_reset_and_force_delete_are_for_administrators(cli: Cli, served: Served) -> None:
    create(cli, "db")
    for command in (("reset", "status"), ("force", "delete")):
        with pytest.raises(Refused, match="instance:reset_status"):
            cli.run("database", "instance", *command, "db")
    admin = Cli("admin")
    made = create(admin, "mine")
    admin.run("database", "instance", "reset", "status", "mine")
    assert admin.json("database", "instance", "show", "mine")["status"] == "ERROR"
    admin.run("database", "instance", "force", "delete", "mine")
    assert admin.json("database", "instance", "show", made["id"])["status"] == "SHUTDOWN"


def test_quotas_by_project_name(cli: Cli) -> None:
    admin = Cli("admin")
    assert admin.json("database", "quota", "update", "project-beta", "instances", "7") == {"instances": 7}
    shown = {q["Resource"]: q["Limit"] for q in Cli("beta").json("database", "quota", "show", PROJECTS["beta"])}
    assert shown == {"instances": 7, "ram": -1, "volumes": 40}
    assert "max_instances" in cli.run("database", "limit", "list")


# -- openstacksdk


def test_sdk_life_of_an_instance(sdk: Any, served: Served) -> None:
    made = sdk.database.create_instance(
        name="db", flavor="1", volume={"size": 1}, datastore={"type": "mariadb", "version": "10.11"}
    )
    assert (made.status, made.datastore["type"], made.flavor["id"]) == ("BUILD", "mariadb", "1")
    served.built(made.id)
    assert sdk.database.get_instance(made.id).status == "ACTIVE"
    assert sdk.database.find_instance("db").id == made.id
    assert made.is_root_enabled(sdk.database) is False
    sdk.database.update_instance(made, name="other")
    assert sdk.database.get_instance(made.id).name == "other"
    made.restart(sdk.database)
    assert sdk.database.get_instance(made.id).status == "REBOOT"
    sdk.database.delete_instance(made, ignore_missing=False)
    assert sdk.database.get_instance(made.id).status == "SHUTDOWN"
    with pytest.raises(sdk_errors.NotFoundException):
        sdk.database.get_instance("nobody")


def test_sdk_follows_pages(sdk: Any, cli: Cli) -> None:
    ids = [create(cli, f"db-{n}")["id"] for n in range(3)]
    assert [i.id for i in sdk.database.instances(limit=1)] == ids[::-1]


def test_sdk_catalog_and_refusals(sdk: Any) -> None:
    assert [f.name for f in sdk.database.flavors()] == ["tiny", "small"]
    assert sdk.database.find_flavor("small").ram == 1024
    with pytest.raises(sdk_errors.BadRequestException, match="Volume size was not specified"):
        sdk.database.create_instance(name="db", flavor="1", datastore={"type": "mariadb"})


def test_sdk_changes_without_a_worker_are_accepted_or_unavailable(sdk: Any, served: Served) -> None:
    made = sdk.database.create_instance(name="db", flavor="1", volume={"size": 1}, datastore={"type": "mariadb"})
    served.built(made.id)
    sdk.database.create_user(made, name="first.last", password=CANARY, databases=[{"name": "app"}])
    served.built(made.id)
    sdk.database.create_database(made, name="app")
    with pytest.raises(sdk_errors.HttpException) as caught:
        list(sdk.database.users(made))
    assert caught.value.status_code == 503


def test_nothing_secret_was_logged(served: Served) -> None:
    log = served.log.read_text()
    assert '"event": "request"' in log
    assert CANARY not in log
