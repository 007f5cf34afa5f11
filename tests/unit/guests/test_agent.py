"""The whole way: jobs of the real agent over the real channel, with things dying in between."""

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from clouds.local import procfs
from guests.errors import GuestError, GuestUnreachable, JobFailed
from guests.jobs import JobStatus, run_job
from guests.pool import GuestPool
from tests.support.local_guest import LocalGuest, eventually, local_guest

SPEC: dict[str, Any] = {
    "databases": [{"name": "shop"}],
    "users": [{"name": "ada", "password": "pw", "databases": [{"name": "shop"}]}],
}


@pytest.fixture
def server() -> Iterator[LocalGuest]:
    with local_guest("tests.support.stub_agent", manager="stub", version="1.0") as guest:
        yield guest


def prepare(pool: GuestPool, server: LocalGuest, on_progress: Callable[[JobStatus], None]) -> dict[str, Any]:
    connect = partial(pool.connected, server.endpoint)
    return run_job(connect, f"{uuid.uuid4()}-prepare", 1, "prepare", SPEC, on_progress=on_progress, no_progress_deadline=30)


def names(pool: GuestPool, server: LocalGuest) -> list[str]:
    with pool.connected(server.endpoint) as client:
        return [database["name"] for database in client.call("databases.list", {"limit": 10})["databases"]]


def once_in_progress(act: Callable[[], object]) -> Callable[[JobStatus], None]:
    done: list[int] = []

    def watch(status: JobStatus) -> None:
        if status.state == "in_progress" and not done:
            done.append(1)
            act()

    return watch


def test_a_job_runs_while_the_server_is_still_starting(server: LocalGuest, pool: GuestPool) -> None:
    seen: list[JobStatus] = []
    assert prepare(pool, server, seen.append) == {"version": "1.0", "port": 9999}
    assert seen[-1].state == "succeeded"
    assert names(pool, server) == ["shop"]


def test_a_job_outlives_its_agent(server: LocalGuest, pool: GuestPool) -> None:
    def kill_agent() -> None:
        os.kill(int((server.root / "run/agent.pid").read_text()), signal.SIGKILL)

    assert prepare(pool, server, once_in_progress(kill_agent))["port"] == 9999
    assert names(pool, server) == ["shop"]


def test_a_job_outlives_a_reboot_of_its_server(server: LocalGuest, pool: GuestPool) -> None:
    assert prepare(pool, server, once_in_progress(lambda: server.cloud.compute.reboot_server(server.endpoint.instance_id)))
    assert names(pool, server) == ["shop"]


def test_a_failed_job_and_a_refused_one(server: LocalGuest, pool: GuestPool) -> None:
    prepare(pool, server, lambda _: None)
    run = partial(run_job, partial(pool.connected, server.endpoint), on_progress=lambda _: None)
    with pytest.raises(JobFailed, match="DatabaseExists"):
        run("op-create", 2, "create_databases", {"databases": [{"name": "shop"}]})
    with pytest.raises(GuestError, match="StaleGeneration"):
        run("op-late", 1, "create_databases", {"databases": [{"name": "late"}]})


def test_what_was_prepared_comes_back_after_a_reboot(server: LocalGuest, pool: GuestPool) -> None:
    prepare(pool, server, lambda _: None)
    server.cloud.compute.reboot_server(server.endpoint.instance_id)
    assert eventually(lambda: engine(pool, server) == "running")
    assert names(pool, server) == ["shop"]


def test_an_open_connection_keeps_nothing_of_a_deleted_server(server: LocalGuest, pool: GuestPool) -> None:
    assert eventually(lambda: engine(pool, server) == "none")
    server.cloud.compute.delete_server(server.endpoint.instance_id)
    assert procfs.processes_of(server.root, server.endpoint.address) == set()
    assert engine(pool, server) == "unreachable"


def engine(pool: GuestPool, server: LocalGuest) -> str:
    try:
        with pool.connected(server.endpoint) as client:
            return str(client.call("engine.status")["state"])
    except GuestUnreachable:
        return "unreachable"
