"""No secret leaves in an answer that did not ask for it, and none is logged."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.api.stand import CANARY, PASSWORDS, Stand
from tests.api.test_instances import fault


@pytest.fixture
def heard() -> Iterator[io.StringIO]:
    """All that is logged, by structlog and by logging."""
    out = io.StringIO()
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    logging.getLogger().addHandler(handler)
    yield out
    logging.getLogger().removeHandler(handler)
    structlog.configure(**before)


def test_canary(stand: Stand, heard: io.StringIO) -> None:
    user = {"name": "ada", "password": CANARY}
    answers = [stand.alpha.create(users=[user], databases=[{"name": "a"}])]
    one = f"/instances/{stand.ready(users=[user])}"
    asks: list[tuple[str, str, Any]] = [
        ("POST", "/users", {"users": [user]}),
        ("POST", "/users", {"users": [{**user, "extra": CANARY}]}),
        ("POST", "/users", {"users": [{"password": CANARY}]}),
        ("POST", "/users", {"users": CANARY}),
        ("POST", "/users", {"user": user}),
        ("PUT", "/users", {"users": [user]}),
        ("PUT", "/users/ada", {"user": {"password": CANARY}}),
        ("PUT", "/users/ada", {"user": {"password": [CANARY]}}),
        ("POST", "/root", {"password": {"x": CANARY}}),
        ("POST", "/root", {CANARY + "!": 1}),
    ]
    answers += [stand.alpha.ask(method, one + path, body) for method, path, body in asks]
    answers.append(stand.alpha.post(f"{one}/root", data=f'{{"password": "{CANARY}'.encode(), content_type="application/json"))
    answers.append(stand.alpha.create(root_password={"a": CANARY}))
    answers += [
        stand.alpha.get(path)
        for path in (one, "/instances/detail", "/operations", f"/operations/{stand.temporal.runs[0].operation_id}")
    ]
    login = {
        "auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "alpha", "password": PASSWORDS["alpha"]}}}}
    }
    tokens = stand.app.test_client().post("/identity/v3/auth/tokens", json=login)
    answers.append(tokens)
    assert [a.request.path for a in answers if CANARY in a.text] == []
    assert {a.status_code for a in answers} == {200, 201, 202, 400}
    log = heard.getvalue()
    assert '"event": "request"' in log
    for secret in (CANARY, stand.alpha.token, tokens.headers["X-Subject-Token"]):
        assert secret not in log
    dump = "\n".join(str(row) for table in ("operations", "instances", "secrets") for row in rows(stand, table))
    assert CANARY not in dump


def rows(stand: Stand, table: str) -> list[Any]:
    with stand.database.read() as s:
        return list(s.execute(text(f"SELECT * FROM {table}")))  # noqa: S608  (three names of ours)


def test_a_log_line_says_who_asked_what(stand: Stand, heard: io.StringIO) -> None:
    answer = stand.alpha.get("/instances?marker=x")
    line = json.loads(heard.getvalue().splitlines()[-1])
    assert line["request_id"] == answer.headers["X-Openstack-Request-Id"]
    assert (line["method"], line["status"], line["user_id"]) == ("GET", 400, "user-alpha")
    assert line["path"].endswith("/instances")


def test_a_bug_is_logged_and_answered_without_details(stand: Stand, heard: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("inner details")

    monkeypatch.setattr("api.lifecycle.create", broken)
    answer = stand.alpha.create()
    name, message = fault(answer)
    assert name == "instanceFault"
    assert answer.headers["X-Openstack-Request-Id"] in message
    assert "inner details" not in answer.text
    assert "ZeroDivisionError: inner details" in heard.getvalue()


def test_a_database_that_is_away_is_503(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("SELECT", {}, Exception("connection refused"))

    monkeypatch.setattr("api.instances.find_row", away)
    answer = stand.alpha.get("/instances/x")
    assert fault(answer)[0] == "serviceUnavailable"
    assert answer.headers["Retry-After"] == "5"
    assert "refused" not in answer.text
