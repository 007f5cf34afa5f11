"""Requests made from the description, by the hundred: none may be answered with a 500."""

from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from tests.api.stand import PROJECTS, Stand

EXAMPLES = 30
"""For each of some 40 operations; all together stay below a minute."""


@pytest.fixture
def peopled(stand: Stand) -> Stand:
    """With an instance that guests answer for, so that not everything ends at 404."""
    instance_id = stand.ready()
    stand.conf.set_override("guest_deadline", 0.1, "api")
    user = {"name": "u", "host": "%", "databases": [{"name": "a"}]}
    stand.temporal.answers = {
        "databases.list": {"databases": [{"name": "a"}], "next": None},
        "users.list": {"users": [user], "next": None},
        "users.show": user,
    }
    stand.known = {"project_id": PROJECTS["alpha"], "instance_id": instance_id, "project": PROJECTS["alpha"]}
    return stand


def test_no_request_is_answered_with_a_500(peopled: Stand) -> None:
    description = schemathesis.openapi.from_wsgi("/openapi.json", peopled.app)
    headers = {"X-Auth-Token": peopled.alpha.token}
    asked: Counter[str] = Counter()

    def attack(operation: Any) -> None:
        @given(case=operation.as_strategy())
        @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def ask(case: Any) -> None:
            given_path = case.path_parameters or {}
            case.path_parameters = given_path | {k: v for k, v in peopled.known.items() if k in given_path}
            asked[operation.label] += 1
            answer = case.call(headers=headers)
            assert answer.status_code != 500, answer.text
            if answer.status_code >= 400:
                [inner] = answer.json().values()
                assert inner["code"] == answer.status_code

        ask()

    for found in description.get_all_operations():
        attack(found.ok())
    assert asked.total() >= 20 * len(asked) > 0
