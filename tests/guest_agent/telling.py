"""Guests with the stub engine that tell, and looking at what they have told."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.guest_agent.receiver import SIGNATURE, Post
from tests.guest_agent.server import Server, running_server, until

STUB_AGENT = "tests.support.stub_agent"
LONG = 3600.0
THROUGH = "reports get through"


@contextmanager
def guest(telemetry: dict[str, Any] | None) -> Iterator[Server]:
    with running_server("stub", agent_module=STUB_AGENT, telemetry=telemetry) as server:
        yield server
        assert SIGNATURE not in server.logs()


def kept_files(server: Server) -> dict[str, Any]:
    """What is on the guest's disk, by name."""
    found = {}
    for path in (server.path / "state" / "telemetry").iterdir():
        # It may be replaced or removed at this very moment.
        with contextlib.suppress(FileNotFoundError, ValueError):
            assert path.stat().st_mode & 0o077 == 0
            found[path.name] = json.loads(path.read_text())
    return found


def kill_agent(server: Server) -> None:
    """And have it back at once."""
    pid = server.pid("agent")
    os.kill(pid, signal.SIGKILL)
    with server.init_client() as init:
        until(lambda: init.call("status", name="agent")["pid"] != pid)
        init.call("start", name="agent")


def ended_in(job_id: str, report: dict[str, Any] | None) -> bool:
    return report is not None and any(one["job_id"] == job_id and one["state"] == "succeeded" for one in report["jobs"])


def job(post: Post, job_id: str) -> dict[str, Any]:
    return next((job for job in post.report["jobs"] if job["job_id"] == job_id), {})
