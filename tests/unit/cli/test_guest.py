"""What `coffer guest upgrade` and `check-objects` ask for and say, against answers as the API gives them."""

import json
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from cli.statedir import StateDir
from tests.unit.cli.test_operations import Answers, operation, state

__all__ = ["state"]


class Instances(Answers):
    """Also takes actions on instances, and tells their operations."""

    def __call__(self, method: str, url: str, body: Any, headers: Any, hint: str = "") -> tuple[Any, HTTPMessage]:
        if "/instances/" in url:
            self.acted.append((url.split("/instances/")[1], body))
            return None, HTTPMessage()
        return super().__call__(method, url, body, headers, hint)


def upgrade(monkeypatch: pytest.MonkeyPatch, where: StateDir, answers: Answers, *words: str) -> Result:
    return act(monkeypatch, where, answers, "upgrade", *words)


def act(monkeypatch: pytest.MonkeyPatch, where: StateDir, answers: Answers, command: str, *words: str) -> Result:
    monkeypatch.setattr("cli.rest.call", answers)
    monkeypatch.setattr("cli.commands.guest.resolve", lambda _path: where)
    return CliRunner().invoke(main, ("guest", command, "i", *words))


def test_it_tells_how_to_follow_the_operation(state: StateDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = Instances(operation("b", kind="GuestUpgrade", state="RUNNING"), operation("a"))
    done = upgrade(monkeypatch, state, answers)
    assert done.exit_code == 0, done.output
    assert f"upgrade requested; follow it: coffer operation show --watch b --state {tmp_path}" in done.stdout
    assert answers.acted == [("i/action", {"upgrade_agent": {}})]


def test_a_check_is_asked_for(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Instances(operation("b", kind="GuestObjectCheck", state="RUNNING"))
    done = act(monkeypatch, state, answers, "check-objects")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("check requested; follow it: coffer operation show --watch b")
    assert answers.acted == [("i/action", {"check_objects": {}})]


def test_one_that_was_taken_back_is_a_failure(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    error = {"type": "UpgradeFailed", "message": "Release 2 was taken back"}
    answers = Instances(operation("b", kind="GuestUpgrade", state="FAILED", error=error))
    done = upgrade(monkeypatch, state, answers, "--watch", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["id"] == "b"
    assert "Release 2 was taken back" in done.stderr
