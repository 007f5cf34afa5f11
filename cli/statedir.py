"""The state directory: all that one Coffer on one machine knows, and where each part of it lies."""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.errors import AlreadyRunning, CliError

LOOPBACK = "127.0.0.1"
LONGEST = 50
"""A Unix socket's path has at most 107 characters, and those of a local server lie deep in here."""
PLAIN = re.compile(r"[A-Za-z0-9._/+@=-]+")
TRAVERSABLE = 0o001


@dataclass(frozen=True)
class StateDir:
    root: Path

    @property
    def config(self) -> Path:
        return self.root / "coffer.conf"

    @property
    def keyring(self) -> Path:
        return self.root / "keyring.json"

    @property
    def identity(self) -> Path:
        return self.root / "identity.json"

    @property
    def clouds(self) -> Path:
        return self.root / "clouds.yaml"

    @property
    def database(self) -> Path:
        return self.root / "coffer.db"

    @property
    def messages(self) -> Path:
        return self.root / "messages.db"

    @property
    def temporal(self) -> Path:
        return self.root / "temporal.db"

    @property
    def cloud(self) -> Path:
        return self.root / "cloud"

    @property
    def supervisor_pid(self) -> Path:
        return self.pid("supervisor")

    def log(self, name: str) -> Path:
        return self.root / "log" / f"{name}.log"

    def pid(self, name: str) -> Path:
        return self.root / "run" / f"{name}.pid"

    def command(self, words: str) -> str:
        """A command on this directory, ready to be pasted into any shell."""
        where = "" if self.root == default().resolve() else f" --state {self.root}"
        return f"coffer {words}{where}"

    def exists(self) -> bool:
        return self.config.is_file()

    def make(self) -> None:
        """Engines run as users of their own and must be able to reach their data; what is secret in here has mode 0600."""
        for directory in (self.root, self.root / "log", self.root / "run"):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o755)

    def holder(self) -> int | None:
        """Pid of the supervisor that runs this directory now, or None."""
        try:
            with self.supervisor_pid.open() as f:
                while not _lock(f.fileno(), fcntl.LOCK_SH):
                    f.seek(0)
                    pid = int(f.read() or 0)
                    if pid and _has_open(pid, self.supervisor_pid):
                        return pid
                    time.sleep(0.01)  # it has the lock and is about to write its pid
        except FileNotFoundError:
            pass
        return None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the one supervisor of this directory: its pid file is locked for as long as the process lives."""
        fd = os.open(self.supervisor_pid, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if not _lock(fd, fcntl.LOCK_EX):
                raise already_running(self)
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
            yield
        finally:
            os.close(fd)


def default() -> Path:
    return Path("/var/lib/coffer") if os.geteuid() == 0 else Path.home() / ".local" / "state" / "coffer"


def resolve(path: str | Path | None) -> StateDir:
    """The state directory at `path`, or the usual one.  Raises CliError for a path that could not work."""
    root = Path(path or default()).expanduser().resolve()
    if len(str(root)) > LONGEST:
        raise CliError(
            f"the path of the state directory has {len(str(root))} characters, {LONGEST} is the most (limit of Unix sockets): {root}",
            "choose a shorter one, such as --state /tmp/coffer",
        )
    if not PLAIN.fullmatch(str(root)):
        raise CliError(f"the path of the state directory has characters that configuration files can't hold: {root}")
    return StateDir(root)


def check_usable(state: StateDir) -> None:
    """Raise CliError unless the directory can be made or written, and engines can get to it."""
    nearest = next(p for p in (state.root, *state.root.parents) if p.exists())
    if not nearest.is_dir():
        raise CliError(f"{nearest} is not a directory")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise CliError(
            f"{nearest} is not writable for {_user_name()}", "name a directory of your own with --state DIR, or run as root"
        )
    if nearest == state.root and any(nearest.iterdir()) and not state.exists():
        raise CliError(f"{state.root} holds something that is not Coffer's", "name a new or empty directory with --state DIR")
    if os.geteuid() == 0:
        for parent in (*reversed(nearest.parents), *([nearest] if nearest != state.root else [])):
            if not parent.stat().st_mode & TRAVERSABLE:
                raise CliError(
                    f"database engines run as users of their own and can't pass through {parent}", "choose a directory elsewhere"
                )


def already_running(state: StateDir) -> CliError:
    return AlreadyRunning(f"Coffer already runs in {state.root}", f"{state.command('status')}, or {state.command('down')}")


def write_private(path: Path, body: str) -> None:
    """Replace a file at once and for good; only its owner may read it."""
    draft = path.with_name(f".{path.name}.new")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as f:
        f.write(body)
        f.flush()
        os.fsync(f.fileno())
    draft.replace(path)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def _lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _has_open(pid: int, path: Path) -> bool:
    try:
        return any(fd.readlink() == path for fd in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return False
    except PermissionError:
        return True  # another user's process; who may not look may not signal either


def _user_name() -> str:
    return os.environ.get("USER", f"user {os.geteuid()}")
