"""Instances over the wire: shapes, statuses and refusals."""

import re
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from models import InstanceState
from tests.api.stand import CANARY, MARIADB, PROJECTS, REDIS, Stand

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def fault(answer: Any) -> tuple[int, str]:
    """The fault's name and message, checked to be the only thing in the body."""
    [(name, inner)] = answer.json.items()
    assert inner["code"] == answer.status_code
    assert answer.content_type == "application/json"
    return name, inner["message"]


def test_create_answers_at_once_and_begins_the_workflow(stand: Stand) -> None:
    answer = stand.alpha.create(
        databases=[{"name": "app"}], users=[{"name": "ada", "password": CANARY, "databases": [{"name": "app"}]}]
    )
    view = answer.json["instance"]
    assert (answer.status_code, view["status"], view["operating_status"]) == (200, "BUILD", "")
    assert view["flavor"]["id"] == "1"
    assert view["datastore"] == {"type": "mariadb", "version": "10.11", "version_number": "10.11"}
    assert view["volume"] == {"size": 1}
    assert view["region"] == "RegionOne"
    assert STAMP.fullmatch(view["created"])
    assert view["created"] == view["updated"]
    assert "password" not in view
    assert "tenant_id" not in view
    assert "ip" not in view
    [run] = stand.temporal.runs
    assert (run.kind, run.workflow_id) == ("InstanceCreate", f"instance:{view['id']}")
    assert run.input["flavor_id"] == "1"
    assert stand.used(PROJECTS["alpha"]) == stand.used(PROJECTS["alpha"], "volumes") == 1
    assert stand.used(PROJECTS["alpha"], "ram") == 512


def test_secrets_go_to_the_vault_and_only_their_reference_to_the_workflow(stand: Stand) -> None:
    stand.alpha.create(users=[{"name": "ada", "password": CANARY}], root_password=CANARY)
    [run] = stand.temporal.runs
    assert CANARY not in str(run.input)
    assert run.input["root_enabled"] is True
    with stand.database.read() as s:
        spec = stand.vault.get(s, run.input["prepare_ref"])
    assert spec == f'{{"databases": [], "users": [{{"name": "ada", "password": "{CANARY}"}}], "root_password": "{CANARY}"}}'


def test_root_on_create_gives_its_password_once(stand: Stand) -> None:
    view = stand.alpha.create(root_enabled=True).json["instance"]
    assert len(view["password"]) == 24
    shown = stand.alpha.get(f"/instances/{view['id']}")
    assert view["password"] not in shown.text
    stand.built(view["id"])
    assert stand.alpha.get(f"/instances/{view['id']}/root").json == {"rootEnabled": True}


def test_with_temporal_away_the_request_is_taken_and_waits(stand: Stand) -> None:
    stand.temporal.away = True
    answer = stand.alpha.create()
    assert answer.status_code == 200
    [operation] = stand.alpha.get("/operations").json["operations"]
    assert operation["state"] == "PENDING"
    stand.temporal.away = False
    assert stand.operations.dispatch(older_than=-1) == 1
    assert len(stand.temporal.runs) == 1


def test_show_and_lists_when_ready(stand: Stand) -> None:
    instance_id = stand.ready()
    shown = stand.alpha.get(f"/instances/{instance_id}").json["instance"]
    [listed] = stand.alpha.get("/instances").json["instances"]
    [detailed] = stand.alpha.get("/instances/detail").json["instances"]
    assert shown == detailed
    assert listed.items() <= {**shown, "datastore": listed["datastore"]}.items()
    assert listed["datastore"] == {"type": "mariadb", "version": "10.11"}
    assert (shown["status"], shown["operating_status"], shown["ip"]) == ("ACTIVE", "HEALTHY", ["127.0.0.9"])
    assert shown["addresses"] == [{"address": "127.0.0.9", "type": "private", "network": None}]
    assert shown["access"] == {"is_public": False}
    assert "used" not in shown["volume"]


def test_administrators_see_more(stand: Stand) -> None:
    instance_id = stand.ready(stand.admin)
    shown = stand.admin.get(f"/instances/{instance_id}").json["instance"]
    assert (shown["tenant_id"], shown["server_id"]) == (PROJECTS["admin"], "server")


def test_links_keep_scheme_and_host_of_the_request(stand: Stand) -> None:
    instance_id = stand.ready()
    for base in ("http://db.example:8779", "https://db.example"):
        view = stand.alpha.get(f"/instances/{instance_id}", base_url=base).json["instance"]
        assert view["links"] == [
            {"href": f"{base}/v1.0/{PROJECTS['alpha']}/instances/{instance_id}", "rel": "self"},
            {"href": f"{base}/instances/{instance_id}", "rel": "bookmark"},
        ]


def test_a_configured_endpoint_wins_over_the_host_header(stand: Stand) -> None:
    stand.conf.set_override("public_endpoint", "https://public.example/", "api")
    try:
        href = stand.alpha.create().json["instance"]["links"][0]["href"]
    finally:
        stand.conf.clear_override("public_endpoint", "api")
    assert href.startswith(f"https://public.example/v1.0/{PROJECTS['alpha']}/")


def test_a_failed_create_shows_its_fault_and_holds_no_quota(stand: Stand) -> None:
    instance_id = stand.alpha.create().json["instance"]["id"]
    stand.temporal.finish(stand.temporal.runs[0], ApplicationError("no room", type="NoValidHost"))
    shown = stand.alpha.get(f"/instances/{instance_id}").json["instance"]
    assert (shown["status"], shown["operating_status"]) == ("ERROR", "FAILED")
    assert shown["fault"]["message"] == "no room"
    assert shown["fault"]["details"] is None
    assert STAMP.fullmatch(shown["fault"]["created"])
    assert stand.used(PROJECTS["alpha"]) == 0


@pytest.mark.parametrize("datastore", [..., {}, {"version": "10.11"}])
def test_a_create_that_names_no_datastore_gets_the_default_one(stand: Stand, datastore: Any) -> None:
    stand.conf.set_override("default_datastore", "mariadb")
    answer = stand.alpha.create(datastore=datastore)
    assert answer.json["instance"]["datastore"] == {"type": "mariadb", "version": "10.11", "version_number": "10.11"}


def test_a_default_datastore_that_is_not_there_is_none(stand: Stand) -> None:
    stand.conf.set_override("default_datastore", "oracle")
    answer = stand.alpha.create(datastore=...)
    assert (answer.status_code, fault(answer)[0]) == (400, "badRequest")
    assert fault(answer)[1].startswith("Name the datastore")


# -- what a create refuses

SIZE = {"size": 1}


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"name": ...}, 400, "instance.name: Missing"),
        ({"name": ""}, 400, "instance.name"),
        ({"name": "---"}, 400, "letter or a digit"),
        ({"name": "x" * 256}, 400, "instance.name"),
        ({"name": 7}, 400, "instance.name"),
        ({"name": "a\0b"}, 400, "NUL"),
        ({"name": "a\ud800"}, 400, "Unicode"),
        ({"flavorRef": ...}, 400, "instance.flavorRef: Missing"),
        ({"flavorRef": "9"}, 400, "Flavor '9' cannot be found"),
        ({"flavorRef": ["1"]}, 400, "flavorRef"),
        ({"flavorRef": True}, 400, "flavorRef"),
        ({"volume": ...}, 400, "Volume size was not specified."),
        ({"volume": {}}, 400, "Volume size was not specified."),
        ({"volume": {"size": 0}}, 400, "at least 1"),
        ({"volume": {"size": -1}}, 400, "at least 1"),
        ({"volume": {"size": 1.5}}, 400, "whole number"),
        ({"volume": {"size": True}}, 400, "whole number"),
        ({"volume": {"size": "x"}}, 400, "instance.volume.size"),
        ({"volume": {"size": 10**40}}, 413, "cannot exceed maximum"),
        ({"volume": {"size": 11}}, 413, "cannot exceed maximum of 10"),
        ({"volume": {"size": 1, "type": "fast"}}, 400, "has no volume types: leave `volume.type` out"),
        ({"volume": {"size": 1, "iops": 3}}, 400, "instance.volume.iops: Unknown field"),
        ({"datastore": ...}, 400, "Name the datastore"),
        ({"datastore": {}}, 400, "Name the datastore"),
        ({"datastore": {"type": "oracle"}}, 404, "Datastore 'oracle' cannot be found"),
        ({"datastore": {"type": "mariadb", "version": "9"}}, 400, "has no version '9'"),
        ({"datastore": {"type": "mariadb", "version": "10.3"}}, 400, "is not active"),
        ({"datastore": {"type": "empty"}}, 400, "has no default version"),
        ({"databases": [{"name": "mysql"}]}, 400, "reserved"),
        ({"databases": [{"name": "a"}, {"name": "a"}]}, 400, "more than once"),
        ({"databases": [{}]}, 400, "instance.databases[0].name: Missing"),
        ({"databases": {"name": "a"}}, 400, "instance.databases"),
        ({"users": [{"name": "root", "password": "x"}]}, 400, "reserved"),
        ({"users": [{"name": "os_admin", "password": "x"}]}, 400, "reserved"),
        ({"users": [{"name": "ada"}]}, 400, "instance.users[0].password: Missing"),
        ({"users": [{"name": "ada", "password": "x"}] * 2}, 400, "'ada@%' is given more than once"),
        ({"users": [{"name": "ada", "password": "x", "databases": [{"name": "b"}]}]}, 400, "not among `databases`"),
        ({"datastore": {"type": "redis"}, "databases": [{"name": "a"}]}, 422, "has no databases"),
        ({"region_name": "Elsewhere"}, 400, "RegionOne"),
        ({"nics": [{"net-id": "x"}]}, 400, "instance.nics[0].net-id: Not a valid UUID"),
        ({"nics": [{"net-id": MARIADB}]}, 400, "has no networks of tenants: leave `nics` out"),
        ({"access": {"is_public": True}}, 400, "has no networks of tenants: leave `access` out"),
        ({"replica_of": "x"}, 400, "instance.replica_of: Is not supported yet"),
        ({"replica_count": 2}, 400, "instance.replica_count: Is not supported yet"),
        ({"restorePoint": {"backupRef": "x"}}, 400, "instance.restorePoint: Is not supported yet"),
        ({"configuration": "x"}, 400, "instance.configuration: Is not supported yet"),
        ({"modules": [{"id": "x"}]}, 400, "instance.modules: Is not supported yet"),
        ({"availability_zone": "nova"}, 400, "has no zones: leave `availability_zone` out"),
        ({"locality": "affinity"}, 400, "has one host: leave `locality` out"),
        ({"colour": "red"}, 400, "instance.colour: Unknown field"),
    ],
)
def test_create_refuses(stand: Stand, fields: dict[str, Any], status: int, words: str) -> None:
    answer = stand.alpha.create(**fields)
    assert answer.status_code == status
    assert words in fault(answer)[1]
    assert stand.temporal.runs == []
    assert stand.used(PROJECTS["alpha"]) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"flavorRef": 1},
        {"flavorRef": "http://localhost/v1.0/flavors/1"},
        {"flavorRef": ..., "flavor": "1"},
        {"flavorRef": ..., "flavor": {"id": "1", "links": []}},
        {"volume": {"size": "2"}},
        {"volume": {"size": 2, "type": None}},
        {"datastore": {"type": "mariadb", "version": MARIADB}},
        {"datastore": {"type": "mariadb", "version": "10.11", "version_number": "10.11"}},
        {"datastore": {"type": "ds-redis", "version": REDIS}},
        {"access": {"is_public": False}, "nics": [], "modules": [], "replica_count": 1, "region_name": "RegionOne"},
        {"replica_of": None, "configuration": None, "locality": None, "availability_zone": None, "users": [], "databases": []},
    ],
)
def test_create_accepts_what_clients_send(stand: Stand, fields: dict[str, Any]) -> None:
    assert stand.alpha.create(**fields).status_code == 200


@pytest.mark.parametrize(
    ("data", "mimetype", "status", "name"),
    [
        (b"{", "application/json", 400, "badRequest"),
        (b"", "application/json", 400, "badRequest"),
        (b"[]", "application/json", 400, "badRequest"),
        (b"null", "application/json", 400, "badRequest"),
        (b"{}", "application/json", 400, "badRequest"),
        (b'{"instance": null}', "application/json", 400, "badRequest"),
        (b'{"instance": NaN}', "application/json", 400, "badRequest"),
        (b"\xff\xfe\x00", "application/json", 400, "badRequest"),
        (b"[" * 100_000, "application/json", 400, "badRequest"),
        (b"{}", "text/plain", 415, "badMediaType"),
        (b"x" * (1024 * 1024 + 1), "application/json", 413, "overLimit"),
    ],
)
def test_bodies_that_are_none(stand: Stand, data: bytes, mimetype: str, status: int, name: str) -> None:
    answer = stand.alpha.post("/instances", data=data, content_type=mimetype)
    assert (answer.status_code, fault(answer)[0]) == (status, name)


def test_quota_says_what_is_exceeded(stand: Stand) -> None:
    for _ in range(5):
        assert stand.alpha.create().status_code == 200
    answer = stand.alpha.create()
    assert answer.status_code == 413
    assert fault(answer) == ("overLimit", "Quota exceeded for resources: ['instances'].")
    assert stand.beta.create().status_code == 200


# -- delete, rename, restart


def test_delete_from_any_state_and_again(stand: Stand) -> None:
    building = stand.alpha.create().json["instance"]["id"]
    for instance_id in (building, stand.ready()):
        for _ in range(3):
            answer = stand.alpha.delete(f"/instances/{instance_id}")
            assert (answer.status_code, answer.data) == (202, b"")
        assert stand.alpha.get(f"/instances/{instance_id}").json["instance"]["status"] == "SHUTDOWN"
    assert [run.op.instance_id for run in stand.temporal.of("InstanceDelete")] == [building, instance_id]
    for run in stand.temporal.of("InstanceDelete"):
        stand.temporal.finish(run)
    assert stand.used(PROJECTS["alpha"]) == 0
    assert stand.alpha.delete(f"/instances/{building}").status_code == 404
    assert stand.alpha.get("/instances").json == {"instances": []}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_rename(stand: Stand, method: str) -> None:
    instance_id = stand.ready()
    answer = stand.alpha.ask(method, f"/instances/{instance_id}", {"instance": {"name": "other"}})
    assert (answer.status_code, answer.data) == (202, b"")
    assert stand.alpha.get(f"/instances/{instance_id}").json["instance"]["name"] == "other"


@pytest.mark.parametrize("name", ["a' OR 1=1 --", "Größe 1", "数据库1", "a😀", 'x"y\\z%', "1" + "é" * 254])
def test_names_come_back_as_they_were_given(stand: Stand, name: str) -> None:
    instance_id = stand.alpha.create(name=name).json["instance"]["id"]
    assert stand.alpha.get(f"/instances/{instance_id}").json["instance"]["name"] == name


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"instance": {}},
        {"instance": {"name": ""}},
        {"instance": {"volume": 3}},
        {"instance": {"replica_of": "x"}},
        {"instance": {"configuration": None}},
    ],
)
def test_rename_refuses(stand: Stand, body: dict[str, Any]) -> None:
    assert fault(stand.alpha.put(f"/instances/{stand.ready()}", body))[0] == "badRequest"


@pytest.mark.parametrize("argument", [{}, None])
def test_restart(stand: Stand, argument: Any) -> None:
    instance_id = stand.ready()
    answer = stand.alpha.post(f"/instances/{instance_id}/action", {"restart": argument})
    assert (answer.status_code, answer.data) == (202, b"")
    shown = stand.alpha.get(f"/instances/{instance_id}").json["instance"]
    assert (shown["status"], shown["operating_status"]) == ("REBOOT", "")
    again = stand.alpha.post(f"/instances/{instance_id}/action", {"restart": {}})
    assert again.status_code == 422
    assert "not currently available for an action to be performed (status was REBOOT)" in fault(again)[1]
    [run] = stand.temporal.of("InstanceRestart")
    assert run.op.generation == 2
    stand.temporal.finish(run)
    assert stand.alpha.get(f"/instances/{instance_id}").json["instance"]["status"] == "ACTIVE"


def test_an_administrator_replaces_an_agent(stand: Stand) -> None:
    instance_id = stand.ready(stand.admin)
    answer = stand.admin.post(f"/instances/{instance_id}/action", {"upgrade_agent": {}})
    assert (answer.status_code, answer.data) == (202, b"")
    assert stand.admin.get(f"/instances/{instance_id}").json["instance"]["status"] == "ACTIVE"
    assert stand.admin.post(f"/instances/{instance_id}/action", {"restart": {}}).status_code == 422
    [run] = stand.temporal.of("GuestUpgrade")
    stand.temporal.finish(run, ApplicationError("taken back", type="UpgradeFailed"))
    assert stand.admin.get(f"/instances/{instance_id}").json["instance"]["status"] == "ACTIVE"
    assert stand.operation(run.op.id).error_type == "UpgradeFailed"
    again = stand.admin.post(f"/operations/{run.op.id}/action", {"retry": {}})
    assert again.status_code == 202
    assert [run.op.generation for run in stand.temporal.of("GuestUpgrade")] == [2, 3]


def test_an_administrator_has_a_server_reach_for_the_object_store(stand: Stand) -> None:
    instance_id = stand.ready(stand.admin)
    assert stand.alpha.post(f"/instances/{stand.ready()}/action", {"check_objects": {}}).status_code == 403
    answer = stand.admin.post(f"/instances/{instance_id}/action", {"check_objects": {}})
    assert (answer.status_code, answer.data) == (202, b"")
    [run] = stand.temporal.of("GuestObjectCheck")
    stand.temporal.finish(run, ApplicationError("answers 403", type="TransferFailed"))
    assert stand.admin.get(f"/instances/{instance_id}").json["instance"]["status"] == "ACTIVE"
    assert stand.operation(run.op.id).error_type == "TransferFailed"
    assert stand.admin.post(f"/operations/{run.op.id}/action", {"retry": {}}).status_code == 202


def test_a_tenant_replaces_no_agent(stand: Stand) -> None:
    answer = stand.alpha.post(f"/instances/{stand.ready()}/action", {"upgrade_agent": {}})
    assert answer.status_code == 403
    assert stand.temporal.of("GuestUpgrade") == []


def test_restart_needs_a_server(stand: Stand) -> None:
    building = stand.alpha.create().json["instance"]["id"]
    failed = stand.ready()
    stand.set(failed, state=InstanceState.ERROR, server_key=None)
    for instance_id, status in ((building, "BUILD"), (failed, "ERROR")):
        answer = stand.alpha.post(f"/instances/{instance_id}/action", {"restart": {}})
        assert fault(answer) == ("unprocessableEntity", f"Instance {instance_id} is not ready. (Status is {status}).")


def test_a_failed_restart_can_be_tried_again(stand: Stand) -> None:
    instance_id = stand.ready()
    stand.set(instance_id, state=InstanceState.ERROR)
    assert stand.alpha.post(f"/instances/{instance_id}/action", {"restart": {}}).status_code == 202


@pytest.mark.parametrize("body", [{}, {"dance": {}}, {"restart": {}, "reset_status": {}}, {"restart": 1}, []])
def test_actions_that_are_none(stand: Stand, body: Any) -> None:
    assert fault(stand.alpha.post(f"/instances/{stand.ready()}/action", body))[0] == "badRequest"


@pytest.mark.parametrize(
    "body",
    [
        {"resize": {"volume": 4}},
        {"resize": {"volume": {"size": 4}}},
        {"resize": {"flavorRef": "1"}},
        {"promote_to_replica_source": {}},
        {"eject_replica_source": {}},
    ],
)
def test_actions_that_are_to_come(stand: Stand, body: dict[str, Any]) -> None:
    name, message = fault(stand.alpha.post(f"/instances/{stand.ready()}/action", body))
    assert name == "notImplemented"
    assert "not supported yet" in message


# -- strangers


def test_nobody_sees_the_instances_of_another_project(stand: Stand) -> None:
    instance_id = stand.ready()
    for other in (stand.beta, stand.admin):
        one = f"/instances/{instance_id}"
        answers = [
            other.get(one),
            other.delete(one),
            other.put(one, {"instance": {"name": "x"}}),
            other.post(f"{one}/action", {"restart": {}}),
            other.post(f"{one}/action", {"resize": {"volume": 2}}),
            other.get(f"{one}/databases"),
            other.get(f"{one}/databases/x"),
            other.post(f"{one}/users", {"users": [{"name": "x", "password": "y"}]}),
            other.get(f"{one}/root"),
            other.post(f"{one}/root"),
        ]
        assert [answer.status_code for answer in answers] == [404] * len(answers)
        assert other.get("/instances").json == {"instances": []}
    assert stand.admin.post(f"/instances/{instance_id}/action", {"reset_status": {}}).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("POST", "/flavors"),
        ("GET", "/instances/"),
        ("OPTIONS", "/instances"),
        ("GET", "/instances.json"),
        ("GET", ""),
    ],
)
def test_unknown_paths_and_verbs(stand: Stand, method: str, path: str) -> None:
    answer = stand.alpha.ask(method, path)
    assert answer.status_code == (403 if not path else 404)
    assert fault(answer)[0] in ("itemNotFound", "forbidden")
