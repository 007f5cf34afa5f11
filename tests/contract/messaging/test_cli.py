"""Every `openstack messaging` command, the unmodified python-zaqarclient as a library, and openstacksdk."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openstack
import pytest
import requests
from zaqarclient.queues import client as zaqar

from tests.api.stand import PASSWORDS, PROJECTS
from tests.contract.clients.openstack_cli import Cli, Refused
from tests.contract.clients.serving import Served
from tests.contract.messaging.conftest import CLIENT


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pools")


@pytest.fixture(scope="module")
def admin(served: Served, directory: Path) -> Cli:
    """With a pool to put queues in."""
    admin = Cli("admin")
    admin.run("messaging", "pool", "create", "default", f"sqlite:///{directory}/default.db", "100")
    return admin


@pytest.fixture
def member(admin: Cli) -> Cli:
    return Cli("alpha")


def as_library(served: Served, user: str = "alpha") -> Any:
    options = {
        "os_username": user,
        "os_password": PASSWORDS[user],
        "os_user_domain_name": "Default",
        "os_project_name": f"project-{user}",
        "os_project_id": "",
        "os_project_domain_name": "Default",
        "os_auth_url": f"{served.url}/identity/v3",
    }
    return zaqar.Client(version=2, conf={"client_uuid": CLIENT, "auth_opts": {"backend": "keystone", "options": options}})


# -- the command line


def test_pools(admin: Cli, directory: Path) -> None:
    uri = f"sqlite:///{directory}/p1.db"
    made = admin.json("messaging", "pool", "create", "p1", uri, "10", "--flavor", "f0", "--pool_options", '{"a": 1}')
    assert (made["Name"], made["Weight"], made["URI"], made["Flavor"]) == ("p1", 10, uri, "f0")
    shown = admin.json("messaging", "pool", "show", "p1")
    assert (shown["Name"], shown["Weight"], shown["URI"], shown["Flavor"]) == ("p1", 10, uri, "f0")
    updated = admin.json("messaging", "pool", "update", "p1", "--pool_weight", "20", "--flavor", "f1", "--pool_options", "{}")
    assert (updated["Weight"], updated["Flavor"]) == (20, "f1")
    assert [pool["Name"] for pool in admin.json("messaging", "pool", "list", "--detailed")] == ["default", "p1"]
    assert [pool["Name"] for pool in admin.json("messaging", "pool", "list", "--limit", "1", "--marker", "default")] == ["p1"]
    admin.run("messaging", "pool", "delete", "p1")
    with pytest.raises(Refused, match="p1 does not exist"):
        admin.run("messaging", "pool", "show", "p1")


def test_flavors(admin: Cli, member: Cli, directory: Path) -> None:
    for name in ("a", "b"):
        admin.run("messaging", "pool", "create", name, f"sqlite:///{directory}/{name}.db", "10")
    made = admin.json("messaging", "flavor", "create", "fast", "--pool_list", "a,b")
    assert made["Name"] == "fast"
    shown = member.json("messaging", "flavor", "show", "fast")
    assert (shown["Pool list"], shown["Capabilities"]) == (["a", "b"], ["FIFO", "CLAIMS", "DURABILITY", "AOD"])
    updated = admin.json("messaging", "flavor", "update", "fast", "--pool_list", "b")
    assert updated["Pool_list"] == ["b"]
    [listed] = member.json("messaging", "flavor", "list", "--detailed")
    assert listed["Name"] == "fast"
    with pytest.raises(Refused, match="last one of flavor fast"):
        admin.run("messaging", "pool", "delete", "b")
    admin.run("messaging", "flavor", "delete", "fast")
    assert admin.json("messaging", "flavor", "list") == []
    for name in ("a", "b"):
        admin.run("messaging", "pool", "delete", name)


def test_members_may_not_manage_pools(member: Cli) -> None:
    for command in (("list",), ("show", "default"), ("create", "x", "sqlite:///x", "1"), ("delete", "default")):
        with pytest.raises(Refused, match="pools:"):
            member.run("messaging", "pool", *command)


def test_queues(member: Cli) -> None:
    for name in ("one", "two"):
        assert member.json("messaging", "queue", "create", name) == {"Name": name}
    member.run("messaging", "queue", "set", "metadata", "one", '{"_default_message_ttl": 300, "team": "x"}')
    metadata = member.json("messaging", "queue", "get", "metadata", "one")["Metadata"]
    assert (metadata["_default_message_ttl"], metadata["team"]) == (300, "x")
    member.run("messaging", "queue", "set", "metadata", "one", '{"team": "y"}')
    metadata = member.json("messaging", "queue", "get", "metadata", "one")["Metadata"]
    assert (metadata["_default_message_ttl"], metadata["team"]) == (3600, "y")

    listed = member.json("messaging", "queue", "list", "--detailed", "--with_count")
    assert [(queue["Name"], queue["Href"]) for queue in listed] == [("one", "/v2/queues/one"), ("two", "/v2/queues/two")]
    assert [q["Name"] for q in member.json("messaging", "queue", "list", "--limit", "1", "--marker", "one")] == ["two"]

    member.run("messaging", "message", "post", "one", '{"body": 1}')
    assert member.json("messaging", "queue", "stats", "one")["Stats"]["messages"]["free"] == 1
    member.run("messaging", "queue", "purge", "one", "--resource_types", "messages")
    assert member.json("messaging", "queue", "stats", "one")["Stats"]["messages"]["total"] == 0
    for name in ("one", "two"):
        member.run("messaging", "queue", "delete", name)
    assert member.json("messaging", "queue", "list") == []


def test_messages_and_claims(member: Cli) -> None:
    member.run("messaging", "message", "post", "jobs", json.dumps([{"body": {"n": n}, "ttl": 300} for n in range(3)]))
    listed = member.json("messaging", "message", "list", "jobs", "--echo", "--limit", "5")
    assert [message["Body"] for message in listed] == [{"n": 0}, {"n": 1}, {"n": 2}]
    ids = [message["ID"] for message in listed]
    by_id = member.json("messaging", "message", "list", "jobs", "--message-ids", f"{ids[0]},{ids[2]}")
    assert [message["ID"] for message in by_id] == [ids[0], ids[2]]

    claimed = member.json("messaging", "claim", "create", "jobs", "--ttl", "100", "--grace", "60", "--limit", "2")
    assert [message["Message_ID"] for message in claimed] == ids[:2]
    claim = claimed[0]["Claim_ID"]
    assert len(member.json("messaging", "claim", "query", "jobs", claim)) == 2
    assert len(member.json("messaging", "message", "list", "jobs", "--echo")) == 1
    assert len(member.json("messaging", "message", "list", "jobs", "--echo", "--include-claimed", "--include-delayed")) == 3
    assert len(member.json("messaging", "claim", "renew", "jobs", claim, "--ttl", "200", "--grace", "60")) == 2
    member.run("messaging", "claim", "release", "jobs", claim)
    assert len(member.json("messaging", "message", "list", "jobs", "--echo")) == 3
    member.run("messaging", "queue", "delete", "jobs")


def test_nothing_to_claim(member: Cli) -> None:
    assert member.json("messaging", "claim", "create", "nothing") == []


def test_signed_url(member: Cli, served: Served) -> None:
    member.run("messaging", "queue", "create", "guest")
    made = member.json(
        *("messaging", "queue", "signed", "url", "guest"),
        *("--methods", "POST", "--ttl-seconds", "600", "--paths", "messages"),
    )
    assert (made["Paths"], made["Methods"], made["Project ID"]) == ("/v2/queues/guest/messages", "POST", PROJECTS["alpha"])
    headers = {
        "Client-ID": CLIENT,
        "X-Project-ID": made["Project ID"],
        **{f"URL-{name}": made[name] for name in ("Paths", "Methods", "Expires", "Signature")},
    }
    posted = requests.post(
        f"{served.url}/v2/queues/guest/messages", json={"messages": [{"body": "beat"}]}, headers=headers, timeout=10
    )
    assert posted.status_code == 201
    for method, path in [("GET", "guest/messages"), ("POST", "other/messages"), ("POST", "guest/claims")]:
        assert requests.request(method, f"{served.url}/v2/queues/{path}", headers=headers, timeout=10).status_code == 404
    member.run("messaging", "queue", "delete", "guest")


def test_the_service(admin: Cli, member: Cli) -> None:
    assert member.json("messaging", "ping") == {"Pingable": True}
    found = json.loads(admin.run("messaging", "health"))
    assert found == {"catalog_reachable": True, "default": {"storage_reachable": True, "operation_status": {}}}
    assert "rel/queues" in json.loads(member.run("messaging", "homedoc"))["resources"]
    with pytest.raises(Refused, match="health:get"):
        member.run("messaging", "health")


def test_subscriptions_are_not_supported(member: Cli) -> None:
    member.run("messaging", "queue", "create", "pushed")
    with pytest.raises(Refused, match="not supported"):
        member.run("messaging", "subscription", "create", "pushed", "http://example.org", "600")
    member.run("messaging", "queue", "delete", "pushed")


# -- libraries


def test_the_library_pages_through_everything(admin: Cli, served: Served) -> None:
    alpha = as_library(served)
    for n in range(23):
        alpha.queue(f"q{n:02}", force_create=True)
    queues, count = alpha.queues(limit=10, with_count=True)
    assert [queue.name for queue in queues.stream()] == [f"q{n:02}" for n in range(23)]
    assert count == 23
    for n in range(23):
        alpha.queue(f"q{n:02}", auto_create=False).delete()


def test_the_library_tells_whether_a_queue_exists(admin: Cli, served: Served) -> None:
    queue = as_library(served).queue("there", force_create=True)
    assert queue.exists()
    queue.delete()
    assert not queue.exists()


def test_the_library_deletes_what_it_claimed(admin: Cli, served: Served) -> None:
    queue = as_library(served).queue("work")
    queue.post([{"body": n, "ttl": 60} for n in range(3)])
    for message in queue.claim(ttl=60, grace=60, limit=2):
        message.delete()
    [left] = list(queue.messages(echo=True))
    assert left.body == 2
    assert [message.body for message in queue.pop(count=2)] == [2]
    queue.delete()


def test_the_sdk(admin: Cli, served: Served) -> None:
    """But for claims: its create_claim mistakes its own location for the answer's, whatever the server."""
    with openstack.connect(cloud="alpha") as connection:
        made = connection.message.create_queue(name="sdk")
        assert made.name == "sdk"
        connection.message.post_message("sdk", [{"body": {"n": 1}, "ttl": 60}])
        [message] = connection.message.messages("sdk")
        assert message.body == {"n": 1}
        connection.message.delete_message("sdk", message.id)
        assert list(connection.message.messages("sdk")) == []
        assert [queue.name for queue in connection.message.queues()] == ["sdk"]
        connection.message.delete_queue("sdk")


def test_a_wait_is_ended_by_a_post_that_another_process_took(admin: Cli, served: Served) -> None:
    """Gunicorn runs two; posts over many connections reach both, and each of them ends a wait at once."""
    token = Cli("alpha").json("token", "issue")["id"]
    headers = {"X-Auth-Token": token, "Client-ID": CLIENT}
    took = []
    with ThreadPoolExecutor(1) as pool:
        for n in range(4):
            url = f"{served.url}/v2/queues/waited-{n}"
            requests.put(url, headers=headers, timeout=10).raise_for_status()
            asked = pool.submit(requests.post, f"{url}/claims?wait=30", headers=headers, timeout=40)
            time.sleep(2.2)  # by itself it looks after 2 and after 6 seconds
            began = time.monotonic()
            requests.post(f"{url}/messages", json={"messages": [{"body": n}]}, headers=headers, timeout=10).raise_for_status()
            assert asked.result(40).status_code == 201
            took.append(time.monotonic() - began)
            requests.delete(url, headers=headers, timeout=10).raise_for_status()
    assert max(took) < 2
