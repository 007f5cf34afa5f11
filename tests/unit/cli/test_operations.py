"""What `coffer operation` says and asks for, against answers as the API gives them."""

import json
from collections.abc import Mapping
from http.client import HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result

from cli import provision, steps
from cli.main import main
from cli.ports import Ports
from cli.statedir import StateDir

URL = "http://127.0.0.1:10001/v1.0/p"
PAGE = 20
STEP = {"id": "1", "name": "guest.run_job", "state": "DONE", "attempts": 1, "progress": "", "error": ""}


def operation(id: str, **more: Any) -> dict[str, Any]:
    return {
        "id": id,
        "kind": "InstanceCreate",
        "state": "DONE",
        "instance_id": "i",
        "error": None,
        "created": "2026-11-21T02:18:01.700",
        "finished": "2026-11-21T02:18:02.950",
        "steps": [],
        "links": [],
        **more,
    }


class Answers:
    """In place of the API: what it holds, and what it was asked to do."""

    def __init__(self, *operations: dict[str, Any]) -> None:
        self.operations = {o["id"]: o for o in operations}
        self.acted: list[tuple[str, Any]] = []
        self.becomes: Mapping[str, str] = {}
        """The operation that the answer to a retry shows."""

    def __call__(self, method: str, url: str, body: Any, headers: Any, hint: str = "") -> tuple[Any, HTTPMessage]:
        reply = HTTPMessage()
        reply["X-Subject-Token"] = "t"
        where = urlsplit(url)
        if where.path.endswith("/auth/tokens"):
            endpoint = {"interface": "public", "url": URL}
            return {"token": {"catalog": [{"type": "database", "endpoints": [endpoint]}]}}, reply
        collection, _, rest = where.path.removeprefix("/v1.0/p/").partition("/")
        assert collection == "operations"
        if not rest:
            return self._page({name: values[0] for name, values in parse_qs(where.query).items()}), reply
        id = rest.removesuffix("/action")
        if method == "POST":
            self.acted.append((id, body))
            id = self.becomes.get(id, id)
        return {"operation": self.operations[id]}, reply

    def _page(self, query: Mapping[str, str]) -> dict[str, Any]:
        ids = list(self.operations)
        begin = ids.index(query["marker"]) + 1 if "marker" in query else 0
        end = begin + min(int(query.get("limit", PAGE)), PAGE)
        body: dict[str, Any] = {"operations": [self.operations[id] for id in ids[begin:end]]}
        if end < len(ids):
            body["links"] = [{"rel": "next", "href": f"http://elsewhere/v1.0/p/operations?limit={PAGE}&marker={ids[end - 1]}"}]
        return body


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateDir:
    state = StateDir(tmp_path)
    monkeypatch.setattr("cli.commands.operation.resolve", lambda _path: state)
    provision.write_identity(state)
    provision.write_clouds(state, "127.0.0.1", Ports(10001, 10002, 10003))
    return state


def coffer(monkeypatch: pytest.MonkeyPatch, answers: Answers, *words: str) -> Result:
    monkeypatch.setattr("cli.rest.call", answers)
    result = CliRunner().invoke(main, ("operation", *words))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_retry_that_begins_anew_is_followed_as_the_new_operation(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(operation("old", state="FAILED", error={"message": "the old reason"}), operation("new", retry_of="old"))
    answers.becomes = {"old": "new"}
    watched = coffer(monkeypatch, answers, "retry", "old", "--watch", "--json")
    assert (watched.exit_code, json.loads(watched.stdout)["id"]) == (0, "new")
    assert coffer(monkeypatch, answers, "retry", "old", "--watch").exit_code == 0
    said = coffer(monkeypatch, answers, "retry", "old").stdout
    assert f"coffer operation show --watch new --state {state.root}\n" in said
    assert "begins anew as new" in said
    assert answers.acted == [("old", {"retry": {}})] * 3


def test_a_retry_of_a_waiting_step_names_its_operation(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    said = coffer(monkeypatch, Answers(operation("a", state="RUNNING")), "retry", "a").stdout
    assert f"coffer operation show --watch a --state {state.root}\n" in said
    assert "anew" not in said


def test_hints_name_directory_and_user_only_where_they_are_not_the_usual_ones(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Answers(operation("a", state="FAILED", error={"message": "no room"}))
    failed = coffer(monkeypatch, answers, "show", "a", "--watch", "--os-cloud", "coffer-other")
    assert failed.exit_code == 1
    assert "no room" in failed.stderr
    assert f"coffer operation show a --os-cloud coffer-other --state {state.root}\n" in failed.stderr
    monkeypatch.setattr("cli.statedir.default", lambda: state.root)
    assert "coffer operation show a\n" in coffer(monkeypatch, answers, "show", "a", "--watch").stderr


def test_a_list_says_that_there_are_more_and_fetches_as_many_as_wanted(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(*(operation(f"op-{n}") for n in range(50)))

    def ids(*words: str) -> tuple[list[str], str]:
        result = coffer(monkeypatch, answers, "list", "--json", *words)
        return [row["id"] for row in json.loads(result.stdout)], result.stderr

    everything = list(answers.operations)
    found, said = ids()
    assert found == everything[:20]
    assert f"coffer operation list --limit 40 --state {state.root}" in said
    assert ids("--limit", "3")[0] == everything[:3]
    found, said = ids("--limit", "45")
    assert found == everything[:45]
    assert "there are more" in said
    assert ids("--limit", "50") == (everything, "")
    assert ids("--limit", "99") == (everything, "")
    assert "there are more" in coffer(monkeypatch, answers, "list").stderr


def test_times_are_as_exact_as_the_api_tells_them(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = {"started": "2026-11-21T02:18:01.700", "finished": "2026-11-21T02:18:01.730"}
    whole = {"started": "2026-11-21T02:18:01", "finished": "2026-11-21T02:18:04"}
    long = {"started": "2026-11-21T02:18:01.700", "finished": "2026-11-21T02:19:14.000"}
    shown = operation("a", steps=[{**STEP, **times} for times in (exact, whole, long)])
    said = coffer(monkeypatch, Answers(shown), "show", "a").stdout
    assert "took" in said
    assert "1.25 s" in said
    assert [line.split("1", 1)[1].strip() for line in said.splitlines() if "guest.run_job" in line] == ["0.03 s", "3 s", "72.3 s"]


def test_a_step_of_an_ended_operation_does_not_go_on_counting() -> None:
    started = {"started": "2026-11-21T02:18:01.750", "finished": None}

    def times(**more: Any) -> dict[str, str]:
        names = ("WAITING", "DONE", "FAILED", "CANCELLED")
        return {name: steps.time_of({**STEP, **started, "state": name}, operation("a", **more)) for name in names}

    nothing = {"DONE": "", "FAILED": "", "CANCELLED": ""}
    assert times(state="CANCELLED") == {"WAITING": "1.20 s", **nothing}
    assert times(state="CANCELLED", finished=None) == {"WAITING": "", **nothing}
    running = times(state="RUNNING", finished=None)
    assert running.pop("WAITING").endswith(" s")
    assert running == nothing


class Closing(Answers):
    """An operation that is over a moment before its last step is."""

    def __call__(self, method: str, url: str, body: Any, headers: Any, hint: str = "") -> tuple[Any, HTTPMessage]:
        answer = super().__call__(method, url, body, headers, hint)
        if "/operations/" not in url:
            return answer
        closed = {"state": "DONE", "finished": "2026-11-21T02:18:02.960"}
        self.operations = {
            id: {**shown, "steps": [{**step, **closed} for step in shown["steps"]]} for id, shown in self.operations.items()
        }
        return answer


def test_the_step_that_ends_an_operation_is_told_too(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    last = {
        **STEP,
        "name": "records.finish_operation",
        "state": "RUNNING",
        "started": "2026-11-21T02:18:02.900",
        "finished": None,
    }
    said = coffer(monkeypatch, Closing(operation("a", steps=[last])), "show", "a", "--watch").stdout
    assert said.count("records.finish_operation") == 1
    assert "DONE" in said


def test_a_last_step_that_nobody_closes_is_not_waited_for_for_ever(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.steps.LAST_STEP_WITHIN", 0.1)
    last = {**STEP, "state": "RUNNING", "started": "2026-11-21T02:18:02.900", "finished": None}
    assert coffer(monkeypatch, Answers(operation("a", steps=[last])), "show", "a", "--watch").exit_code == 0


def test_errors_of_steps_are_told_by_their_message(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    times = {"started": "2026-11-21T02:18:01.700", "finished": "2026-11-21T02:18:01.730", "state": "FAILED"}
    errors = ("plain words", {"type": "InvalidRequest", "message": "no such [collation]"}, None)
    shown = operation("a", state="FAILED", steps=[{**STEP, **times, "error": error} for error in errors])
    said = coffer(monkeypatch, Answers(shown), "show", "a").stdout
    assert "plain words" in said
    assert "no such [collation]" in said
    assert "{" not in said
    assert "None" not in said
