"""The agent, killed at planned instants: `python -m tests.guest_agent.mortal_agent AGENT_JSON`.

The plan is SERVER/deaths.json, a list of [step, "before" | "inside" | CALL | "after"]; each is died once and then struck out.
"Inside" is right after the step's first call of an engine, of init, of a program or of the disk has returned; the name of
one of the calls that fill a directory from a template, instead, is right after its first return.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from guest_agent.datastores import MANAGERS, kinds
from guest_agent.datastores.base import Datastore
from guest_agent.jobs import Notes, Step
from guest_agent.service import run

EFFECTS = frozenset({"execute", "query", "query_version", "_call", "run_program", "write_durably"})
COPYING = frozenset({"_copy_file", "sync_filesystem"})


class Deaths:
    def __init__(self, path: Path) -> None:
        self._path = path

    def die_if_planned(self, step: str, when: str) -> None:
        planned = json.loads(self._path.read_text()) if self._path.exists() else []
        if [step, when] in planned:
            planned.remove([step, when])
            self._path.write_text(json.dumps(planned))
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, step: Step) -> Step:
        def run_step(notes: Notes) -> Mapping[str, Any] | None:
            def watch(frame: FrameType, event: str, _: object) -> None:
                if event == "return" and frame.f_code.co_name in EFFECTS:
                    self.die_if_planned(step.name, "inside")
                if event == "return" and frame.f_code.co_name in COPYING:
                    self.die_if_planned(step.name, frame.f_code.co_name)

            self.die_if_planned(step.name, "before")
            sys.setprofile(watch)
            try:
                result = step.run(notes)
            finally:
                sys.setprofile(None)
            self.die_if_planned(step.name, "after")
            return result

        return Step(step.name, run_step)


def mortal(build: Callable[[Datastore, str, dict[str, Any]], list[Step]], deaths: Deaths) -> Callable[..., list[Step]]:
    def steps(store: Datastore, kind: str, spec: dict[str, Any]) -> list[Step]:
        return [deaths.around(step) for step in build(store, kind, spec)]

    return steps


if __name__ == "__main__":
    kinds.steps = mortal(kinds.steps, Deaths(Path(sys.argv[1]).with_name("deaths.json")))
    run(sys.argv[1:], {**MANAGERS, "stub": "tests.support.stub_datastore:Stub"})
