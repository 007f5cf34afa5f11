"""The init of one server: found again by any later process, started once, stopped for good."""

import os
import signal
import subprocess
from pathlib import Path

from clouds.local import procfs
from clouds.local.layout import Programs
from clouds.ports import CloudError

MODULE = "guest_agent.init"
STOP_SECONDS = 30.0
KILL_SECONDS = 15.0
FAULT_BYTES = 500


def find(root: Path) -> int | None:
    """The pid of the server's init, or of the process that is just becoming it."""
    try:
        pid = int((root / "run/init.pid").read_text())
    except (FileNotFoundError, ValueError):
        pid = 0
    if pid and _is_init(pid, root):
        return pid
    return next((candidate for candidate in procfs.pids() if _is_init(candidate, root)), None)


def start(root: Path, programs: Programs, file_size_limit: int | None) -> None:
    """Starts init as nobody's child, so that no worker's end or neglect matters to it.

    Its arguments tell what it will be from the first exec on, and the caller's lock is inherited up to there: a call that
    comes after this one, or after its caller's death, finds it.
    """
    for stale in ("init.pid", "init.sock"):
        (root / "run" / stale).unlink(missing_ok=True)
    limit = ["prlimit", f"--fsize={file_size_limit}"] if file_size_limit else []
    argv = [*limit, "setsid", "--fork", programs.python, "-S", "-m", MODULE, str(root)]
    environment = programs.environment() | {"COFFER_SERVER": str(root)}
    try:
        with (root / "log/init.log").open("ab") as log:
            subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=environment, timeout=30, check=True
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise CloudError(f"The server's init cannot be started: {error}", 500) from error


def stop(root: Path, address: str) -> None:
    """Lets init stop its units in order, then ends what is left."""
    if (pid := find(root)) is not None:
        procfs.end([pid], signal.SIGTERM, STOP_SECONDS)
    kill(root, address)


def kill(root: Path, address: str) -> None:
    if not procfs.kill_server(root, address, KILL_SECONDS):
        raise CloudError(f"Processes of the server at {root} do not end.", 500)


def fault(root: Path) -> str:
    """Why init never came up; empty when it did, whatever became of it later."""
    if (root / "run/init.sock").exists():
        return ""
    try:
        with (root / "log/init.log").open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - FAULT_BYTES))
            said = log.read().decode(errors="replace").strip()
    except FileNotFoundError:
        said = ""
    return f"init did not start: {said or 'it said nothing'}"


def _is_init(pid: int, root: Path) -> bool:
    return procfs.cmdline(pid)[-3:] == [b"-m", MODULE.encode(), os.fsencode(root)]
