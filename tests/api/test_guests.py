"""Databases, users, grants and root: what the guest is asked, and what becomes of its answers."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from tests.api.stand import CANARY, PROJECTS, Stand
from tests.api.test_instances import fault

ADA = {"name": "ada", "password": CANARY}


@pytest.fixture
def one(stand: Stand) -> str:
    return f"/instances/{stand.ready()}"


def refuse(stand: Stand, error_type: str, message: str = "The guest's words.") -> None:
    """The answer comes at once; the deadline is for a machine that is busy otherwise."""
    stand.conf.set_override("guest_deadline", 10.0, "api")

    def guest(_kind: str, _spec: dict[str, Any]) -> None:
        raise ApplicationError(message, type=error_type)

    stand.temporal.guest = guest


# -- what the guest is asked


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "spec"),
    [
        (
            "POST",
            "/databases",
            {"databases": [{"name": "a", "character_set": "utf8", "collate": None}]},
            "create_databases",
            {"databases": [{"name": "a", "character_set": "utf8"}]},
        ),
        ("POST", "/databases", {"database": {"name": "a"}}, "create_databases", {"databases": [{"name": "a"}]}),
        ("DELETE", "/databases/a.b", None, "delete_database", {"name": "a.b"}),
        ("DELETE", "/databases/a%2Fb", None, "delete_database", {"name": "a/b"}),
        (
            "POST",
            "/users",
            {"users": [{**ADA, "host": "10.%", "databases": [{"name": "a"}]}]},
            "create_users",
            {"users": [{**ADA, "host": "10.%", "databases": [{"name": "a"}]}]},
        ),
        ("POST", "/users", {"users": {**ADA, "host": None}}, "create_users", {"users": [ADA]}),
        ("POST", "/users/ada", {"users": ADA}, "create_users", {"users": [ADA]}),
        ("PUT", "/users", {"users": [ADA]}, "change_passwords", {"users": [{**ADA, "host": "%"}]}),
        ("PUT", "/users/ada", {"user": {"name": "bob"}}, "update_user", {"name": "ada", "host": "%", "new": {"name": "bob"}}),
        (
            "PUT",
            "/users/u2%4010.%25",
            {"user": {"password": CANARY}},
            "update_user",
            {"name": "u2", "host": "10.%", "new": {"password": CANARY}},
        ),
        ("DELETE", "/users/ada%40%25", None, "delete_user", {"name": "ada", "host": "%"}),
        ("DELETE", "/users/first%2elast%40127.0.0.1", None, "delete_user", {"name": "first.last", "host": "127.0.0.1"}),
        ("DELETE", "/users/a%40b%40c", None, "delete_user", {"name": "a@b", "host": "c"}),
        ("DELETE", "/users/ada%40", None, "delete_user", {"name": "ada@", "host": "%"}),
        ("DELETE", "/users/ada@10.0.0.0/255.0.0.0", None, "delete_user", {"name": "ada", "host": "10.0.0.0/255.0.0.0"}),
        (
            "PUT",
            "/users/ada/databases",
            {"databases": [{"name": "a"}]},
            "grant_access",
            {"name": "ada", "host": "%", "databases": [{"name": "a"}]},
        ),
        ("DELETE", "/users/ada/databases/a%2eb", None, "revoke_access", {"name": "ada", "host": "%", "database": "a.b"}),
        ("POST", "/root", {"password": CANARY}, "enable_root", {"password": CANARY}),
    ],
)
def test_changes(stand: Stand, one: str, method: str, path: str, body: Any, kind: str, spec: Any) -> None:
    answer = stand.alpha.ask(method, one + path, body)
    assert answer.status_code == (200 if kind == "enable_root" else 202)
    assert stand.temporal.changes == [(kind, spec)]
    [run] = stand.temporal.of("GuestWrite")
    assert CANARY not in str(run.input)
    assert run.op.generation == 2
    assert stand.instance(one.rpartition("/")[2]).operation_id is None


USER = {"name": "ada", "host": "%", "databases": [{"name": "app"}]}


@pytest.mark.parametrize(
    ("path", "method", "params", "answer", "shown"),
    [
        (
            "/databases",
            "databases.list",
            {"limit": 20, "marker": None},
            {"databases": [{"name": "app"}], "next": None},
            {"databases": [{"name": "app"}]},
        ),
        (
            "/users?limit=5&marker=a@%25",
            "users.list",
            {"limit": 5, "marker": "a@%"},
            {"users": [USER], "next": None},
            {"users": [USER]},
        ),
        ("/users/ada", "users.show", {"name": "ada", "host": "%"}, USER, {"user": USER}),
        ("/users/ada%4010.%25/databases", "users.show", {"name": "ada", "host": "10.%"}, USER, {"databases": [{"name": "app"}]}),
    ],
)
def test_reads(stand: Stand, one: str, path: str, method: str, params: Any, answer: Any, shown: Any) -> None:
    stand.temporal.answers[method] = answer
    assert stand.alpha.get(one + path).json == shown
    [question] = stand.temporal.questions
    assert (question.method, question.params, question.project_id) == (method, params, PROJECTS["alpha"])
    assert stand.temporal.changes == []


def test_lists_have_a_link_to_the_next_page(stand: Stand, one: str) -> None:
    stand.temporal.answers["users.list"] = {"users": [USER], "next": "ada@%"}
    page = stand.alpha.get(f"{one}/users?limit=1").json
    assert page["links"] == [
        {"rel": "next", "href": f"http://localhost/v1.0/{PROJECTS['alpha']}{one}/users?limit=1&marker=ada%40%25"}
    ]


# -- root


def test_root(stand: Stand, one: str) -> None:
    assert stand.alpha.get(f"{one}/root").json == {"rootEnabled": False}
    never = stand.alpha.delete(f"{one}/root")
    assert fault(never) == ("itemNotFound", "Root user has never been enabled on the instance.")
    user = stand.alpha.post(f"{one}/root").json["user"]
    assert user["name"] == "root"
    assert stand.temporal.changes == [("enable_root", {"password": user["password"]})]
    assert stand.alpha.post(f"{one}/root").json["user"]["password"] != user["password"]
    gone = stand.alpha.delete(f"{one}/root")
    assert (gone.status_code, gone.data) == (204, b"")
    assert stand.alpha.get(f"{one}/root").json == {"rootEnabled": True}


def test_root_that_takes_too_long_keeps_its_password(stand: Stand, one: str) -> None:
    stand.temporal.guest = None
    answer = stand.alpha.post(f"{one}/root", {"password": CANARY})
    [run] = stand.temporal.of("GuestWrite")
    assert answer.status_code == 503
    assert run.operation_id in fault(answer)[1]
    assert CANARY not in answer.text


# -- refusals


@pytest.mark.parametrize(
    ("error_type", "status"),
    [
        ("DatabaseExists", 400),
        ("UserExists", 400),
        ("InvalidRequest", 400),
        ("DatabaseNotFound", 404),
        ("UserNotFound", 404),
        ("RootNotEnabled", 404),
        ("NotSupported", 422),
        ("EngineFailed", 422),
        ("EngineUnavailable", 503),
        ("GuestUnreachable", 503),
        ("Timeout", 503),
        ("Cancelled", 422),
    ],
)
def test_what_the_guest_refuses(stand: Stand, one: str, error_type: str, status: int) -> None:
    refuse(stand, error_type)
    answer = stand.alpha.post(f"{one}/databases", {"databases": [{"name": "a"}]})
    assert (answer.status_code, fault(answer)[1]) == (status, "The guest's words.")
    assert stand.alpha.get(one).json["instance"]["status"] == "ACTIVE"


def test_an_unknown_refusal_is_a_bug_of_ours(stand: Stand, one: str) -> None:
    refuse(stand, "Internal", "secret details")
    answer = stand.alpha.post(f"{one}/databases", {"databases": [{"name": "a"}]})
    assert fault(answer)[0] == "instanceFault"
    assert "secret details" not in answer.text
    assert answer.headers["X-Openstack-Request-Id"] in answer.text


@pytest.mark.parametrize("why", ["silent", "unreachable", "away"])
def test_a_silent_guest_is_503(stand: Stand, one: str, why: str) -> None:
    stand.temporal.answers["users.list"] = {"silent": None, "unreachable": ApplicationError("x", type="GuestUnreachable")}.get(
        why
    )
    stand.temporal.away = why == "away"
    stand.conf.set_override("guest_deadline", 0.1, "api")
    answer = stand.alpha.get(f"{one}/users")
    stand.conf.clear_override("guest_deadline", "api")
    assert (answer.status_code, fault(answer)[0]) == (503, "serviceUnavailable")


def test_a_change_with_temporal_away_is_taken(stand: Stand, one: str) -> None:
    stand.temporal.away = True
    assert stand.alpha.post(f"{one}/users", {"users": [ADA]}).status_code == 202
    stand.temporal.away = False
    assert stand.operations.dispatch(older_than=-1) == 1
    [run] = stand.temporal.of("GuestWrite")
    stand.temporal.work(run)
    assert stand.temporal.changes == [("create_users", {"users": [ADA]})]


def test_a_change_that_takes_long_is_accepted(stand: Stand, one: str) -> None:
    stand.temporal.guest = None
    assert stand.alpha.post(f"{one}/users", {"users": [ADA]}).status_code == 202


ROUTES = [
    ("GET", "/databases", None),
    ("POST", "/databases", {"databases": [{"name": "a"}]}),
    ("DELETE", "/databases/a", None),
    ("GET", "/users", None),
    ("POST", "/users", {"users": [ADA]}),
    ("PUT", "/users", {"users": [ADA]}),
    ("GET", "/users/ada", None),
    ("PUT", "/users/ada", {"user": {"name": "b"}}),
    ("DELETE", "/users/ada", None),
    ("GET", "/users/ada/databases", None),
    ("PUT", "/users/ada/databases", {"databases": [{"name": "a"}]}),
    ("DELETE", "/users/ada/databases/a", None),
    ("POST", "/root", None),
    ("DELETE", "/root", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_an_instance_that_is_not_ready(stand: Stand, method: str, path: str, body: Any) -> None:
    building = f"/instances/{stand.alpha.create().json['instance']['id']}"
    restarting = f"/instances/{stand.ready()}"
    stand.alpha.post(f"{restarting}/action", {"restart": {}})
    for one, status in ((building, "BUILD"), (restarting, "REBOOT")):
        answer = stand.alpha.ask(method, one + path, body)
        assert answer.status_code == 422
        assert f"is not ready. (Status is {status})" in fault(answer)[1]
    assert stand.temporal.changes == stand.temporal.questions == []


@pytest.mark.parametrize(("method", "path", "body"), [r for r in ROUTES if "databases" in r[1]])
def test_redis_has_no_databases(stand: Stand, method: str, path: str, body: Any) -> None:
    one = f"/instances/{stand.ready(datastore={'type': 'redis'})}"
    answer = stand.alpha.ask(method, one + path, body)
    assert fault(answer) == ("unprocessableEntity", "The datastore redis has no databases.")


@pytest.mark.parametrize(
    ("method", "path", "body", "words"),
    [
        ("POST", "/databases", {"databases": []}, "databases: Must have 1 to 1000 items"),
        ("POST", "/databases", {"databases": [{"name": ""}]}, "databases[0].name"),
        ("POST", "/databases", {"databases": [{"name": "mysql"}]}, "reserved"),
        ("POST", "/databases", {}, "databases: Missing"),
        ("DELETE", "/databases/mysql", None, "reserved"),
        ("POST", "/users", {"users": [{"name": "os_admin", "password": "x"}]}, "reserved"),
        ("POST", "/users", {"users": [ADA, ADA]}, "more than once"),
        ("POST", "/users", {"users": [{"name": "x", "password": CANARY * 100}]}, "users[0].password"),
        ("POST", "/users", {"users": [{"name": "x", "password": CANARY + "\0"}]}, "NUL"),
        ("POST", "/users", {"users": [{"name": "x", "password": {"p": CANARY}}]}, "users[0].password: Not a valid string"),
        ("PUT", "/users", {"users": [{"name": "root", "password": "x"}]}, "reserved"),
        ("PUT", "/users/ada", {"user": {}}, "at least one of"),
        ("PUT", "/users/ada", {"user": {"name": "root"}}, "reserved"),
        ("PUT", "/users/ada", {"user": {"databases": []}}, "user.databases: Unknown field"),
        ("DELETE", "/users/root", None, "reserved"),
        ("PUT", "/users/ada/databases", {"databases": [{"name": 5}]}, "databases[0].name"),
        ("POST", "/root", {"password": ""}, "password"),
        ("POST", "/root", {"word": "x"}, "word: Unknown field"),
    ],
)
def test_bad_requests(stand: Stand, one: str, method: str, path: str, body: Any, words: str) -> None:
    answer = stand.alpha.ask(method, one + path, body)
    assert answer.status_code == 400
    assert words in fault(answer)[1]
    assert CANARY not in answer.text
    assert stand.temporal.changes == []


def test_a_database_is_not_shown(stand: Stand, one: str) -> None:
    assert fault(stand.alpha.get(f"{one}/databases/app"))[0] == "notImplemented"


# -- one at a time


def test_changes_of_one_instance_queue_up(stand: Stand, one: str) -> None:
    stand.conf.set_override("guest_deadline", 5, "api")

    def create(number: int) -> int:
        return stand.alpha.post(f"{one}/users", {"users": [{**ADA, "name": f"user-{number}"}]}).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(create, range(6)))
    stand.conf.clear_override("guest_deadline", "api")
    assert statuses == [202] * 6
    assert len(stand.temporal.changes) == 6
    # Whoever waits for a change may begin its run too, which does nothing a second time.
    generations = {run.op.generation for run in stand.temporal.of("GuestWrite")}
    assert generations == {2, 3, 4, 5, 6, 7}


def test_a_change_behind_one_that_hangs_is_refused(stand: Stand, one: str) -> None:
    stand.temporal.guest = None
    assert stand.alpha.post(f"{one}/users", {"users": [ADA]}).status_code == 202
    answer = stand.alpha.post(f"{one}/users", {"users": [ADA]})
    assert answer.status_code == 422
    assert "not currently available" in fault(answer)[1]
    assert stand.alpha.post(f"{one}/action", {"restart": {}}).status_code == 422
