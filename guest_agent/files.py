# os.path throughout: pathlib would cost init a megabyte of memory.
# ruff: noqa: PTH105, PTH108, PTH120
"""Files that survive a power loss at any instant."""

import ctypes
import os

_syncfs = ctypes.CDLL(None, use_errno=True).syncfs


def write_durably(path: str, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` in one atomic step; when this returns the new content is on disk."""
    temporary = f"{path}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))


def remove_durably(path: str) -> None:
    """Remove `path` if it is there; when this returns the removal is on disk."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_filesystem(path: str) -> None:
    """Everything on the file system of `path` is on disk when this returns: for many files far quicker than one by one."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _syncfs(fd):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(fd)
