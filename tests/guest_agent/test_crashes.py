"""The agent is killed before, inside and after the steps of every job; each job then ends as if nothing had been."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.guest_agent.engines import ENGINES, Engine, LoginRefused
from tests.guest_agent.server import RpcError, Server, running_server, until

PREPARE = ("initialise", "configure", "start", "secure", "databases", "users", "root")
DATABASES = [{"name": "one"}, {"name": "two"}]


def user(name: str, password: str, *databases: str) -> dict[str, Any]:
    listed = [{"name": database} for database in databases]
    return {"name": name, "password": password, **({"databases": listed} if listed else {})}


@pytest.fixture(
    params=["stub", *(pytest.param(name, marks=pytest.mark.engines) for name in ENGINES)],
)
def mortal(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running_server(request.param, agent_module="tests.guest_agent.mortal_agent") as server:
        yield server


class Ordeal:
    """Runs jobs on a server whose agent dies as planned, and is started again at once each time."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.deaths = 0
        self._plan = server.path / "deaths.json"

    def run(self, kind: str, steps: Sequence[str], whens: Sequence[str], **spec: Any) -> Any:
        planned = [[step, when] for step in steps for when in whens]
        self._plan.write_text(json.dumps(planned))
        job_id = f"{kind}-{self.deaths}"
        self.call("job.start", job_id=job_id, generation=1, kind=kind, spec=spec)
        status = until(lambda: self._ended(job_id))
        assert json.loads(self._plan.read_text()) == [], "a planned death did not come about"
        self.deaths += len(planned)
        if status["state"] == "failed":
            raise RpcError(status["error"])
        return status["result"]

    def _ended(self, job_id: str) -> Any:
        status = self.call("job.status", job_id=job_id, wait=5, after=1)
        return None if status["state"] == "in_progress" else status

    def call(self, method: str, **params: Any) -> Any:
        """As the control plane does: the same call again, until it is answered."""

        def attempt() -> Any:
            with contextlib.suppress(OSError):
                return self.server.call(method, **params)
            # Not waiting for init's own, slower and slower restarts.
            with self.server.init_client() as init:
                init.call("start", name="agent")
            return None

        return until(attempt)


def access(server: Server) -> dict[str, list[str]]:
    return {one["name"]: [each["name"] for each in one["databases"]] for one in server.call("users.list")["users"]}


def test_every_job_survives_a_death_around_every_step(mortal: Server) -> None:
    ordeal = Ordeal(mortal)
    manager = mortal.call("hello")["datastore"]
    engine = ENGINES[manager](mortal) if manager in ENGINES else None
    with_databases = engine is None or engine.has_databases
    # On the real engines a start takes a while, and the death before a step is the death after the one before it.
    whens = ("before", "inside", "after") if engine is None else ("inside", "after")
    first = user("ada", "first", "zero") if with_databases else user("ada", "first")
    databases = [{"name": "zero"}] if with_databases else []
    # Without databases that step does nothing that one could die in.
    steps = [step for step in PREPARE if with_databases or step != "databases"]
    result = ordeal.run("prepare", steps, whens, databases=databases, users=[first], root_password="topmost")
    assert set(result) == {"version", "port"}
    assert mortal.call("root.show") == {"enabled": True}
    check_login(engine, "ada", "first", "zero")

    if with_databases:
        run_database_jobs(ordeal, whens)
    ordeal.run("create_users", ("create",), whens, users=[user("bob", "b"), user("eve", "e")])
    ordeal.run("update_user", ("update",), whens, name="bob", new={"name": "bert", "password": "b2"})
    ordeal.run("change_passwords", ("change",), whens, users=[user("ada", "second")])
    ordeal.run("delete_user", ("check", "delete"), whens, name="eve")
    ordeal.run("disable_root", ("check", "disable"), whens)
    ordeal.run("enable_root", ("enable",), whens, password="topmost2")
    ordeal.run("stop", ("stop",), whens)
    assert mortal.call("engine.status")["state"] == "stopped"
    ordeal.run("start", ("start", "query"), whens)
    ordeal.run("restart", ("stop", "start", "query"), whens)

    assert access(mortal) == {"ada": ["two", "zero"] if with_databases else [], "bert": []}
    check_login(engine, "ada", "second", "two")
    check_login(engine, "bert", "b2")
    if engine:
        check_login(engine, engine.root, "topmost2")
        for name, password in (("ada", "first"), ("bob", "b"), ("eve", "e"), (engine.root, "topmost")):
            with pytest.raises(LoginRefused):
                engine.log_in(name, password)


def run_database_jobs(ordeal: Ordeal, whens: Sequence[str]) -> None:
    server = ordeal.server
    ordeal.run("create_databases", ("check", "create"), whens, databases=DATABASES)
    assert [database["name"] for database in server.call("databases.list")["databases"]] == ["one", "two", "zero"]
    ordeal.run("grant_access", ("grant",), whens, name="ada", databases=DATABASES)
    ordeal.run("revoke_access", ("check", "revoke"), whens, name="ada", database="one")
    ordeal.run("delete_database", ("delete",), whens, name="one")
    assert [database["name"] for database in server.call("databases.list")["databases"]] == ["two", "zero"]


def check_login(engine: Engine | None, name: str, password: str, database: str | None = None) -> None:
    if engine:
        engine.log_in(name, password, database if engine.has_databases else None)


@pytest.mark.engines
@pytest.mark.parametrize("manager", ["mariadb", "postgresql"])
def test_a_death_while_the_engines_own_programs_initialise_leaves_nothing(manager: str) -> None:
    """They go on as orphans, writing what nobody will use."""
    with running_server(manager) as server:
        job = server.start("prepare")
        data = server.path / "data"
        for _ in range(3):
            fresh = until(lambda: next(data.glob("data.*/*"), None)).parent
            os.kill(server.pid("agent"), signal.SIGKILL)
            Ordeal(server).call("hello")
            until(lambda fresh=fresh: not fresh.exists())
        assert server.wait(job)["state"] == "succeeded"
        assert [path.name for path in data.iterdir() if path.name not in ("files", "tmp")] == ["data"]
