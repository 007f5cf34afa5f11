"""What a request costs: statements and CPU."""

import time

import pytest
from werkzeug.test import EnvironBuilder, run_wsgi_app

from tests.api.stand import PROJECTS, Stand


@pytest.fixture
def full(stand: Stand) -> Stand:
    stand.conf.set_override("page_size", 100, "api")
    stand.many(100, PROJECTS["alpha"])
    return stand


def cpu_ms(stand: Stand, path: str, times: int = 40) -> float:
    """The least of `times` requests: what the code costs, not what else the machine does."""
    asked = EnvironBuilder(
        path=f"/v1.0/{stand.alpha.project_id}{path}", headers={"X-Auth-Token": stand.alpha.token}
    ).get_environ()
    spent = []
    for _ in range(times):
        before = time.process_time()
        _, status, _ = run_wsgi_app(stand.app.wsgi_app, dict(asked))
        spent.append((time.process_time() - before) * 1000)
        assert status == "200 OK"
    return min(spent)


@pytest.mark.parametrize("path", ["/instances", "/instances/detail", "/operations", "/datastores", "/flavors"])
def test_a_list_takes_as_many_statements_for_100_rows_as_for_one(stand: Stand, path: str) -> None:
    stand.conf.set_override("page_size", 100, "api")
    stand.alpha.create()
    with stand.statements() as few:
        stand.alpha.get(path)
    stand.many(99, PROJECTS["alpha"])
    with stand.statements() as many:
        stand.alpha.get(path)
    assert len(many) == len(few) <= 6


def test_cpu_of_a_list_of_100(full: Stand) -> None:
    assert cpu_ms(full, "/instances?limit=100") <= 12


def test_cpu_of_one(full: Stand) -> None:
    one = full.alpha.get("/instances?limit=1").json["instances"][0]["id"]
    assert cpu_ms(full, f"/instances/{one}", times=60) <= 2
