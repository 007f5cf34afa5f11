"""Servers whose agent is replaced, and releases for them, good and bad."""

import base64
import contextlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from guests.archive import Archive, build_archive
from tests.guest_agent.server import ROOT, Client, Server, until

PACKAGE = ROOT / "guest_agent"
PIECE = 300_000
WATCHER = f"""
if __name__ == "__main__":
    import sys
    from pathlib import Path
    sys.path.append({str(ROOT)!r})
    from tests.guest_agent.ends import install
    install(Path(sys.argv[1]).parent / "ends.json")
    from guest_agent.upgrade import real_watch
    sys.exit(real_watch.main(sys.argv[1:]))
"""


def release(directory: Path, changes: Mapping[str, Callable[[str], str]] | None = None) -> Archive:
    """An archive of the agent with these files changed; without any it still differs from every other one by a comment."""
    package = directory / "guest_agent"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "errors.py").write_text((package / "errors.py").read_text() + f"# {directory.name}\n")
    for name, change in (changes or {}).items():
        before = (package / name).read_text()
        after = change(before)
        assert after != before, f"the change of {name} changes nothing"
        (package / name).write_text(after)
    return build_archive(package)


class ReplaceableServer(Server):
    """Its releases are a directory of its own; agent and watcher end as SERVER/ends.json says."""

    def __init__(self) -> None:
        super().__init__("stub", agent_module="tests.guest_agent.ending_agent")
        self.releases = self.path / "releases"
        first = self.releases / "first"
        shutil.copytree(PACKAGE, first / "guest_agent", ignore=shutil.ignore_patterns("__pycache__"))
        upgrade = first / "guest_agent/upgrade"
        (upgrade / "watch.py").rename(upgrade / "real_watch.py")
        (upgrade / "watch.py").write_text(WATCHER)
        for name in ("base", "current"):
            (self.releases / name).symlink_to("first")
        settings = json.loads((self.path / "agent.json").read_text()) | {"releases_dir": str(self.releases)}
        (self.path / "agent.json").write_text(json.dumps(settings))
        unit = json.loads((self.path / "units/agent.json").read_text())
        unit["env"]["PYTHONPATH"] = f"{self.releases}/current:{self.releases}/current/vendor:{ROOT}"
        self.write_unit("agent", **unit)

    @property
    def ends(self) -> list[list[str]]:
        path = self.path / "ends.json"
        return json.loads(path.read_text()) if path.exists() else []

    def plan_ends(self, ends: list[list[str]]) -> None:
        """They come about from the next start of the agent on, which is now."""
        (self.path / "ends.json").write_text(json.dumps(ends))
        with self.init_client() as init:
            init.call("restart", name="agent")

    def current(self) -> str:
        return (self.releases / "current").readlink().name

    def send(self, archive: Archive) -> None:
        description = {"sha256": archive.sha256, "size": len(archive.content)}
        received = self.persist("agent.receive", **description)["received"]
        while received < len(archive.content):
            data = base64.b64encode(archive.content[received : received + PIECE]).decode()
            received = self.persist("agent.receive", **description, offset=received, data=data)["received"]

    def upgrade(self, archive: Archive, job_id: str, patience: float = 20, generation: int = 1) -> Any:
        """The ended job's status, whatever ends meanwhile."""
        self.send(archive)
        spec = {"sha256": archive.sha256, "patience": patience}
        self.persist("job.start", job_id=job_id, generation=generation, kind="upgrade_agent", spec=spec)
        return until(lambda: self._ended(job_id), timeout=90)

    def _answers(self) -> bool:
        """Or has lost its power again while it booted."""
        assert self.init
        return self.init.poll() is not None or super()._answers()

    def _ended(self, job_id: str) -> Any:
        status = self.persist("job.status", job_id=job_id, wait=1, after=0)
        return None if status["state"] == "in_progress" else status

    def persist(self, method: str, **params: Any) -> Any:
        """The same call until it is answered: by a server that is booted again when it has lost its power."""

        def attempt() -> Any:
            assert self.init
            if self.init.poll() is not None:
                self.boot()
            with contextlib.suppress(OSError), self.agent() as agent:
                return agent.call(method, **params)
            self._hurry()
            return None

        return until(attempt, timeout=60)

    def _hurry(self) -> None:
        """Not waiting for init's own, slower and slower restarts of what is meant to run."""
        for unit in ("upgrade", "agent"):
            with contextlib.suppress(OSError, Exception), Client(self.init_socket) as init:
                if init.call("status", name=unit)["state"] == "failed":
                    init.call("start", name=unit)
