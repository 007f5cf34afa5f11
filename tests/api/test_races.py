"""Requests at the same time, from threads that share nothing but the database."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from tests.api.stand import PROJECTS, Stand

AT_ONCE = 20


def at_once(ask: Any) -> Counter[int]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(answer.status_code for answer in pool.map(lambda _: ask(), range(AT_ONCE)))


def test_quota_5_and_20_creates_at_once(stand: Stand) -> None:
    assert at_once(stand.alpha.create) == {200: 5, 413: 15}
    assert stand.used(PROJECTS["alpha"]) == len(stand.temporal.runs) == 5
    assert stand.used(PROJECTS["alpha"], "volumes") == 5


def test_20_restarts_at_once(stand: Stand) -> None:
    instance_id = stand.ready()
    assert at_once(lambda: stand.alpha.post(f"/instances/{instance_id}/action", {"restart": {}})) == {202: 1, 422: 19}
    assert len(stand.temporal.of("InstanceRestart")) == 1


def test_20_deletes_at_once_give_quota_back_once(stand: Stand) -> None:
    instance_id, _other = stand.ready(), stand.ready()
    assert at_once(lambda: stand.alpha.delete(f"/instances/{instance_id}")) == {202: 20}
    [run] = stand.temporal.of("InstanceDelete")
    stand.temporal.finish(run)
    assert stand.used(PROJECTS["alpha"]) == 1


def test_20_retries_at_once(stand: Stand) -> None:
    stand.alpha.create()
    [run] = stand.temporal.runs
    stand.temporal.finish(run, ApplicationError("x", type="NoValidHost"))
    statuses = at_once(lambda: stand.alpha.post(f"/operations/{run.operation_id}/action", {"retry": {}}))
    assert statuses == {202: 1, 409: 19}
    assert stand.used(PROJECTS["alpha"]) == 1


@pytest.mark.parametrize("first", ["restart", "delete"])
def test_restart_and_delete_at_once(stand: Stand, first: str) -> None:
    instance_id = stand.ready()
    asks = [
        lambda: stand.alpha.post(f"/instances/{instance_id}/action", {"restart": {}}),
        lambda: stand.alpha.delete(f"/instances/{instance_id}"),
    ]
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(ask) for ask in (asks if first == "restart" else reversed(asks))]
    statuses = Counter(f.result().status_code for f in futures)
    assert statuses in ({202: 2}, {202: 1, 422: 1})
    assert stand.instance(instance_id).delete_operation_id == stand.temporal.of("InstanceDelete")[0].operation_id
