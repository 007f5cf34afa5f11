"""A directory of templates: finding one that fits exactly, copying it, adding one.

    DIR/<manager>-<digest of the identity>/template.json    identity, and the size of every file
                                          /data/            the data directory, cleanly shut down

A template appears under its name only when all of it is on disk. What a killed maker has left has a name with a dot before it.
"""

import fcntl
import hashlib
import json
import logging
import os
import pwd
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guest_agent.files import sync_directory, sync_filesystem
from guest_agent.programs import run_program

LOG = logging.getLogger(__name__)

MANIFEST = "template.json"
DATA = "data"
LOCK = ".lock"
BLOCK = 512
FILE_MODE = 0o660
"""As the engine makes its own."""


@dataclass(frozen=True)
class Identity:
    """What a template has to be made of to be the same as what would be made here and now."""

    manager: str
    server: str
    options: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {"manager": self.manager, "server": self.server, "options": list(self.options)}

    @property
    def name(self) -> str:
        digest = hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()
        return f"{self.manager}-{digest[:16]}"


def copy(directory: Path, identity: Identity, target: Path, account: str | None) -> bool:
    """Fill the empty `target` with the template of this identity, all of it on disk when this returns; False if there is none.

    A template that is not as its manifest says counts as none, and `target` is empty again.
    """
    source = directory / identity.name
    try:
        manifest = _manifest(source, identity)
        if manifest is None:
            return False
        _copy_tree(source / DATA, target, manifest, account)
        sync_filesystem(str(target))
    except OSError as error:
        LOG.warning("template %s is not used: %s", identity.name, error)
        _empty(target)
        return False
    LOG.info("copied from template %s", identity.name)
    return True


def make(directory: Path, identity: Identity, fill: Callable[[Path], None]) -> Path:
    """The template of this identity, made by `fill` unless it is there and whole. Others of its manager are removed."""
    directory.mkdir(parents=True, exist_ok=True)
    _let_pass(directory)
    with _locked(directory):
        for left_behind in directory.glob(f".{identity.manager}-*"):
            shutil.rmtree(left_behind, ignore_errors=True)
        made = directory / identity.name
        for other in directory.glob(f"{identity.manager}-*"):
            if other != made or not _is_whole(made, identity):
                _remove(other)
        if not made.exists():
            fresh = directory / f".{identity.name}.{os.urandom(4).hex()}"
            _build(fresh, identity, fill)
            fresh.rename(made)
            sync_directory(str(directory))
    return made


def _build(fresh: Path, identity: Identity, fill: Callable[[Path], None]) -> None:
    fresh.mkdir(mode=0o700)
    _let_pass(fresh)
    filled, data = fresh / "filled", fresh / DATA
    filled.mkdir(mode=0o700)
    try:
        fill(filled)
        # Most of a new database is zeros, which a hole saves from being read and written for each copy.
        run_program(["cp", "--recursive", "--sparse=always", str(filled), str(data)])
        shutil.rmtree(filled)
        manifest = {**_listing(data), "identity": identity.as_json()}
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        sync_filesystem(str(fresh))
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def _let_pass(directory: Path) -> None:
    """The engine's account gets to its files while they are made."""
    directory.chmod(directory.stat().st_mode | 0o011)


def _listing(data: Path) -> dict[str, Any]:
    directories, files = [], {}
    for path in sorted(data.rglob("*")):
        name = str(path.relative_to(data))
        if path.is_dir():
            directories.append(name)
        else:
            files[name] = path.stat().st_size
    return {"directories": directories, "files": files}


def _manifest(source: Path, identity: Identity) -> dict[str, Any] | None:
    try:
        manifest: dict[str, Any] = json.loads((source / MANIFEST).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return manifest if manifest.get("identity") == identity.as_json() else None


def _is_whole(made: Path, identity: Identity) -> bool:
    manifest = _manifest(made, identity)
    try:
        return manifest is not None and all(
            (made / DATA / name).stat().st_size == size for name, size in manifest["files"].items()
        )
    except OSError:
        return False


def _copy_tree(source: Path, target: Path, manifest: dict[str, Any], account: str | None) -> None:
    owner = pwd.getpwnam(account) if account else None
    for name in manifest["directories"]:
        (target / name).mkdir(mode=0o700)
        if owner:
            os.chown(target / name, owner.pw_uid, owner.pw_gid)
    for name, size in manifest["files"].items():
        with (
            _opened(source / name, os.O_RDONLY) as origin,
            _opened(target / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as copied,
        ):
            if os.fstat(origin).st_size != size:
                raise OSError(f"{name} does not have {size} bytes")
            _copy_file(origin, copied, size)
            os.fchmod(copied, FILE_MODE)
            if owner:
                os.fchown(copied, owner.pw_uid, owner.pw_gid)


def _copy_file(origin: int, copied: int, size: int) -> None:
    """Only what is not a hole is read and written, but all of it gets its space: a full volume must not stop an engine later."""
    if os.fstat(origin).st_blocks * BLOCK < size:
        os.posix_fallocate(copied, 0, size)
    for begin, end in _extents(origin, size):
        os.lseek(copied, begin, os.SEEK_SET)
        at = begin
        while at < end:
            sent = os.sendfile(copied, origin, at, end - at)
            if sent == 0:
                raise OSError("a file became shorter while it was copied")
            at += sent


def _extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    at = 0
    while at < size:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole is left
            return
        at = os.lseek(fd, begin, os.SEEK_HOLE)
        yield begin, at


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with _opened(directory / LOCK, os.O_RDWR | os.O_CREAT) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield


def _remove(made: Path) -> None:
    """Renamed first, so that half of it is never taken for a template."""
    doomed = made.with_name(f".{made.name}.{os.urandom(4).hex()}")
    made.rename(doomed)
    shutil.rmtree(doomed)


def _empty(target: Path) -> None:
    for path in target.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
