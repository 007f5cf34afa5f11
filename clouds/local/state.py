"""The embedded cloud's registry: one JSON record per thing, replaced atomically, and the locks around them.

A record is written before what it stands for is made and removed after the last of it is gone, so whatever a killed process
leaves behind can be found and finished, or taken away, by the next call with the same key.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def short_id(key: str) -> str:
    """Derived from the key, so that every call about a key means the same thing without looking it up."""
    return hashlib.sha256(key.encode()).hexdigest()[:12]


def write_durably(path: Path, text: str, mode: int = 0o644) -> None:
    """Atomic, and on disk when this returns.  One writer per path at a time (the caller holds its lock)."""
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    _sync(path.parent)


class Table:
    """The records of one kind: directory/<id>.json."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def read(self, id: str) -> Record | None:
        try:
            record: Record = json.loads((self.directory / f"{id}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return record

    def all(self) -> list[Record]:
        found = (self.read(path.stem) for path in sorted(self.directory.glob("*.json")))
        return [record for record in found if record is not None]

    def write(self, record: Record) -> None:
        write_durably(self.directory / f"{record['id']}.json", json.dumps(record, indent=1))

    def remove(self, id: str) -> None:
        """Also what a killed writer has left of a record that never was."""
        (self.directory / f"{id}.json.new").unlink(missing_ok=True)
        (self.directory / f"{id}.json").unlink(missing_ok=True)
        _sync(self.directory)


class State:
    """The tables of one state directory and its locks.

    `working_on(id)` is held for the whole of a call that changes one thing; `registry()` briefly inside it, for decisions
    that look at several records.  Neither is ever taken twice by one thread, nor in the other order.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self.ports = Table(self.directory / "ports")
        self.volumes = Table(self.directory / "volumes")
        self.servers = Table(self.directory / "servers")
        self.names = Table(self.directory / "names")
        self._locks = self.directory / "locks"
        self._locks.mkdir(exist_ok=True)

    def working_on(self, id: str) -> contextlib.AbstractContextManager[None]:
        # A fixed set of lock files: none to clean up, and two ids that share one only wait for each other.
        return _locked(self._locks / id[:2])

    def registry(self) -> contextlib.AbstractContextManager[None]:
        return _locked(self._locks / "registry")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
