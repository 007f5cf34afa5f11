"""A whole Coffer as a user starts it: `coffer up` in a state directory of its own, on free ports."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COFFER = Path(sys.executable).with_name("coffer")
READY = re.compile(r"READY api=(\S+) temporal=(\S+) ui=(\S+)")
USABLE_WITHIN = 90
STOPPED_WITHIN = 60


@dataclass(frozen=True)
class Stack:
    state: Path
    api: str
    temporal: str
    ui: str

    @property
    def clouds(self) -> Path:
        return self.state / "clouds.yaml"


@contextmanager
def running() -> Iterator[Stack]:
    """Up for the length of the block; then its servers are removed too."""
    state = Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))
    state.chmod(0o755)
    ports = ["--api-port", "0", "--temporal-port", "0", "--ui-port", "0"]
    try:
        up = coffer("up", "--state", str(state), *ports, "--detach", timeout=USABLE_WITHIN)
        found = READY.search(up.stdout)
        assert found, f"exit {up.returncode}\n{up.stdout}\n{up.stderr}"
        yield Stack(state, *found.groups())
    finally:
        down = coffer("down", "--state", str(state), "--purge", timeout=STOPPED_WITHIN)
        shutil.rmtree(state, ignore_errors=True)
    assert down.returncode == 0, f"{down.stdout}\n{down.stderr}"


def coffer(*args: str, timeout: float) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([COFFER, *args], capture_output=True, text=True, timeout=timeout, env=dict(os.environ), check=False)
