"""What init answers, in today's words and in those of the release before."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from guest_agent.services import Services, UnitStatus

OF_THE_RELEASE_BEFORE = {"state": "running", "pid": 7, "exit_code": None, "since": 1.5, "enabled": True}


@contextmanager
def init(path: Path, result: dict[str, Any]) -> Iterator[Services]:
    """Answers one call."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as calls:
                calls.readline()
                connection.sendall(json.dumps({"id": 1, "result": result}).encode() + b"\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield Services(path)
        thread.join(10)


@pytest.mark.parametrize(("more", "deaths"), [({}, 0), ({"deaths": 3}, 3), ({"deaths": 3, "invented": 1}, 3)])
def test_a_status_with_and_without_deaths(tmp_path: Path, more: dict[str, int], deaths: int) -> None:
    with init(tmp_path / "s", OF_THE_RELEASE_BEFORE | more) as services:
        assert services.status("engine") == UnitStatus("running", 7, deaths, enabled=True)
