"""Events of a whole Coffer with a real engine, read by the unmodified `openstack messaging` and by `coffer events`."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.clients.openstack_cli import Cli
from tests.contract.clients.test_full import until
from tests.support.stack import Stack, coffer

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

CLIENT = "3381af92-2b9e-11e3-b191-71861300734c"
STORY = [
    *("operation.accepted", "operation.done", "instance.created", "trove.instance.create"),
    *("operation.accepted", "operation.done", "instance.restarted"),
    *("operation.accepted", "operation.done", "instance.deleted", "trove.instance.delete"),
]


@pytest.fixture(scope="module")
def cli(stack: Stack) -> Iterator[Cli]:
    """With two pools to put queues in, one of them of a flavor."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OS_MESSAGE_CLIENT_ID", CLIENT)
        admin = Cli("coffer-admin")
        admin.run("messaging", "pool", "create", "plain", f"sqlite:///{stack.state}/plain.db", "100")
        admin.run("messaging", "pool", "create", "quick", f"sqlite:///{stack.state}/quick.db", "100")
        admin.run("messaging", "flavor", "create", "fast", "--pool_list", "quick")
        yield Cli("coffer")


def events(stack: Stack, *words: str) -> str:
    done = coffer("events", *words, "--state", str(stack.state), timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def claimed(cli: Cli, queue: str, count: int) -> list[dict[str, Any]]:
    """So many, as `openstack messaging claim create` shows them."""
    found: list[dict[str, Any]] = []

    def claim() -> bool:
        rows = cli.json("messaging", "claim", "create", queue, "--ttl", "300", "--grace", "60", "--limit", "20")
        found.extend(row["Messages"] for row in rows)
        return len(found) >= count

    until(claim)
    return found


def test_the_story_of_an_instance(stack: Stack, cli: Cli) -> None:
    made = json.loads(events(stack, "subscribe", "audit", "--json", "--flavor", "fast"))
    events(stack, "subscribe", "bills", "--type", "trove.*", "--ttl", "86400")
    listed = json.loads(events(stack, "list", "--json"))
    assert [row["queue"] for row in listed] == ["bills", "audit"]
    assert listed[1]["id"] == made["id"]
    flavor = cli.json("database", "flavor", "list")[0]["Name"]
    options = ("--flavor", flavor, "--size", "1", "--datastore", "redis")
    instance_id: str = cli.json("database", "instance", "create", "cache", *options)["id"]
    until(lambda: cli.json("database", "instance", "show", instance_id)["status"] == "ACTIVE")
    cli.run("database", "instance", "restart", instance_id)
    until(lambda: cli.json("database", "instance", "show", instance_id)["status"] == "ACTIVE")
    cli.run("database", "instance", "delete", instance_id)

    told = [json.loads(line) for line in events(stack, "tail", "bills", "--count", "2", "--json").splitlines()]
    assert [event["type"] for event in told] == ["trove.instance.create", "trove.instance.delete"]
    news = claimed(cli, "audit", len(STORY))
    assert [event["type"] for event in news] == STORY
    assert [event["sequence"] for event in news] == list(range(1, len(STORY) + 1))
    assert {event["instance"]["id"] for event in news} == {instance_id}
    assert told[1]["id"] == news[-1]["id"]

    for row in listed:
        events(stack, "unsubscribe", row["id"])
    assert json.loads(events(stack, "list", "--json")) == []
