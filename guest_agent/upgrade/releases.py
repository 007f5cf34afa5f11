"""Releases of the agent side by side in one directory.

`base` is a link to the release that came with the server, which boots it and watches upgrades: it is never replaced.
`current` is a link to the one in use.  Any other entry is a release, or a `.` name that some killed attempt has left.
"""

import json
import os
import re
import shutil
import sys
import tarfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import guest_agent
from guest_agent import JOURNAL, PROTOCOL, fields
from guest_agent.errors import InvalidRequest, NotSupported
from guest_agent.files import sync_directory

BASE = "base"
CURRENT = "current"
MANIFEST = "manifest.json"
VENDOR = "vendor"
LARGEST_RELEASE = 64 << 20
MOST_FILES = 5000
WINDOW = 1
"""How many steps of PROTOCOL and JOURNAL two releases may be apart to follow one another."""

VERSION = re.compile(r"[0-9][A-Za-z0-9.+]{0,31}", re.ASCII)
MEMBER = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.+-]*/)*[A-Za-z0-9_][A-Za-z0-9_.+-]*", re.ASCII)


class Releases:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def current(self) -> str:
        """What the link says."""
        return str((self.directory / CURRENT).readlink())

    def name_of(self, link: str) -> str | None:
        """The release behind what a link says, as its agent calls itself."""
        return release_of(self.directory / link)

    def switch(self, link: str) -> None:
        """In one atomic step; on disk when this returns."""
        new = self.directory / f"{CURRENT}.new"
        new.unlink(missing_ok=True)
        new.symlink_to(link)
        new.replace(self.directory / CURRENT)
        sync_directory(str(self.directory))

    def install(self, archive: Path, sha256: str) -> str:
        """The name of the release that the archive holds, unpacked and on disk.  May be repeated.

        Raises InvalidRequest for what is no release, NotSupported for one too far from this one.
        """
        self._remove_left_behind()
        fresh = self.directory / f".{sha256[:12]}.{os.urandom(4).hex()}"
        fresh.mkdir(mode=0o755)
        try:
            _unpack(archive, fresh)
            name = f"{_checked_manifest(fresh)['version']}-{sha256[:12]}"
            if not (self.directory / name).is_dir():
                fresh.rename(self.directory / name)
                sync_directory(str(self.directory))
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return name

    def prune(self, keep: Collection[str]) -> None:
        """Removes every release that no link and nothing in `keep` means."""
        kept = {(self.directory / link).resolve() for link in (BASE, CURRENT, *keep)}
        for entry in self.directory.iterdir():
            if entry.is_dir() and not entry.is_symlink() and (entry / MANIFEST).exists() and entry.resolve() not in kept:
                # Not by the name that a reader would take for whole.
                going = entry.rename(self.directory / f".{entry.name}")
                shutil.rmtree(going, ignore_errors=True)

    def _remove_left_behind(self) -> None:
        for entry in self.directory.glob(".*"):
            shutil.rmtree(entry, ignore_errors=True)


def release_of(directory: Path) -> str | None:
    """The name of the release that lies there; None for an agent that came otherwise, for instance from a source tree."""
    whole = directory.resolve()
    return whole.name if (whole / MANIFEST).exists() else None


def own_release() -> str | None:
    return release_of(Path(guest_agent.__file__).parent.parent)


def pin_imports() -> None:
    """What this process imports from here on comes from the release it was started from, wherever `current` leads later."""
    sys.path[:] = [os.path.realpath(entry) if entry else entry for entry in sys.path]
    guest_agent.__path__[:] = [os.path.realpath(entry) for entry in guest_agent.__path__]


def _unpack(archive: Path, target: Path) -> None:
    """Regular files with plain names below `target`, nothing else."""
    try:
        with tarfile.open(archive, "r:gz") as members:
            size = 0
            for count, member in enumerate(members):
                size += member.size
                if not member.isreg() or not MEMBER.fullmatch(member.name) or size > LARGEST_RELEASE or count >= MOST_FILES:
                    raise InvalidRequest(f"The archive is no release of the agent: {member.name[:100]!r} does not belong there.")
                content = members.extractfile(member)
                assert content is not None
                _write(target / member.name, content.read())
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InvalidRequest(f"The archive cannot be read: {error}.") from None
    for directory, _, _ in os.walk(target):
        sync_directory(directory)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(0o644)


def _checked_manifest(directory: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        version, numbers = str(manifest["version"]), {"protocol": manifest["protocol"], "journal": manifest["journal"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise InvalidRequest(f"The archive is no release of the agent: it has no good {MANIFEST}.") from None
    if not VERSION.fullmatch(version):
        raise InvalidRequest("The release's version cannot be the name of a directory.")
    for name, own in (("protocol", PROTOCOL), ("journal", JOURNAL)):
        number = fields.integer(0, 1 << 16)(numbers[name], f"manifest.{name}")
        if abs(number - own) > WINDOW:
            raise NotSupported(
                f"Release {version} has {name} {number} and this agent {own}: go by a release in between, at most {WINDOW} apart."
            )
    return manifest
