"""What the release before has left on the disk is taken up, and what is written here it could go on with (frozen/VERSION)."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guest_agent.datastores import kinds
from guest_agent.journal import JobRecord
from tests.guest_agent.server import Server
from tests.support.stub_datastore import Stub

FROZEN = Path(__file__).with_name("frozen") / "1.0.0"
KINDS: dict[str, dict[str, Any]] = json.loads((FROZEN / "kinds.json").read_text())


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server("stub", agent_module="tests.support.stub_agent")
    try:
        server.boot()
        server.run("prepare", databases=[{"name": "shop"}])
        server.shut_down()
        shutil.rmtree(server.path / "state/jobs")
        shutil.copytree(FROZEN / "state", server.path / "state", dirs_exist_ok=True)
        yield server
    finally:
        server.destroy()


def test_a_journal_of_the_release_before_is_gone_on_with(server: Server) -> None:
    server.boot()
    assert server.call("hello")["generation"] == 7
    assert server.wait("op-3-create")["state"] == "succeeded", "it had begun its second step"
    assert server.wait("op-4-delete")["state"] == "succeeded", "it had not begun"
    assert [user["name"] for user in server.call("users.list")["users"]] == ["ada"]
    assert {database["name"] for database in server.call("databases.list")["databases"]} == {"shop", "late"}


def test_ended_jobs_of_the_release_before_are_still_answered_for(server: Server) -> None:
    server.boot()
    done, failed = (server.call("job.status", job_id=job_id) for job_id in ("op-1-prepare", "op-2-create"))
    assert (done["state"], done["result"]) == ("succeeded", {"version": "1.0", "port": 9999})
    assert (failed["state"], failed["error"]["type"]) == ("failed", "DatabaseExists")
    spec = {"databases": [{"name": "shop"}]}
    again = server.call("job.start", job_id="op-1-prepare", generation=7, kind="prepare", spec=spec)
    assert again == done, "the key or the way in which a spec is recognised has changed"


def test_the_release_before_can_read_what_is_written_here(server: Server) -> None:
    """It knows no field that its own records do not have."""
    known = set(json.loads((FROZEN / "state/jobs/op-3-create.json").read_text()))
    server.boot()
    for job_id in ("op-3-create", "op-4-delete"):
        server.wait(job_id)
    written = [set(json.loads(path.read_text())) for path in (server.path / "state/jobs").glob("*.json")]
    assert len(written) == 4
    assert all(fields <= known for fields in written)
    assert {path.name for path in (FROZEN / "state").iterdir()} <= {path.name for path in (server.path / "state").iterdir()}


def test_fields_of_the_next_release_are_left_out() -> None:
    text = (FROZEN / "state/jobs/op-3-create.json").read_text()
    extended = json.dumps(json.loads(text) | {"invented": {"later": 1}})
    assert JobRecord.parse(extended) == JobRecord.parse(text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_of_the_release_before_finds_its_steps(kind: str) -> None:
    """At any of them on a server whose agent was exchanged under it; at the first one, both ways, through an upgrade."""
    store = Stub.__new__(Stub)
    frozen = KINDS[kind]
    steps = [step.name for step in kinds.steps(store, kind, frozen["spec"])]
    assert steps[0] == frozen["steps"][0]
    assert set(frozen["steps"]) <= set(steps)
