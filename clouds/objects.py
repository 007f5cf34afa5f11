"""What Coffer needs of an object store, as one small protocol.  Both drivers pass tests/contract/objects.

An object is made of segments that a guest sends and of a manifest that the control plane commits; until then nobody can read it.  All of
a project's objects lie in one container of their own.  A guest gets temporary URLs, each for one method and one segment or object; the
store's credentials and the keys that sign stay here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from clouds.ports import CloudError

MOST_SEGMENTS = 1000
"""Of one object: what Swift takes unless it is configured otherwise."""
_PROJECT = re.compile(r"[A-Za-z0-9-]{1,64}")
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_DIGEST = re.compile(r"[0-9a-f]+")
LONGEST_PATH = 512


@dataclass(frozen=True, order=True)
class ObjectKey:
    """`path`: words of letters, digits, dots, dashes and underscores, with slashes between; chosen by the caller before the upload.

    Raises CloudError 400.
    """

    project: str
    path: str

    def __post_init__(self) -> None:
        if not _PROJECT.fullmatch(self.project) or not _PATH.fullmatch(self.path) or len(self.path) > LONGEST_PATH:
            raise CloudError(f"{self.project}/{self.path} cannot be the key of an object.", 400)


@dataclass(frozen=True)
class Segment:
    """`size` in bytes, at least 1; `md5` in hexadecimal digits.  The first of an object is the first in its list."""

    size: int
    md5: str

    def __post_init__(self) -> None:
        if self.size < 1 or len(self.md5) != 32 or not _DIGEST.fullmatch(self.md5):
            raise CloudError("A segment has at least 1 byte, and an MD5 in hexadecimal digits.", 400)


@dataclass(frozen=True)
class StoredObject:
    """`size` in bytes and `sha256` of the whole; of one that is not `complete` there are segments only."""

    key: ObjectKey
    size: int = 0
    sha256: str = ""
    complete: bool = True


@dataclass(frozen=True)
class UrlRules:
    """How temporary URLs are made.

    `keys`: who signs, newest first; two are valid at a time.  `lifetime` in seconds.  `ip_range`: an address or a network in CIDR form that
    alone may use them; empty text: anybody.  `endpoint`: scheme and host of the store as guests reach it; empty text: as the catalog says.
    """

    keys: tuple[str, ...] = field(default=(), repr=False)
    lifetime: int = 3600
    ip_range: str = ""
    endpoint: str = ""


class ObjectStore(Protocol):
    """Raises CloudError.  Temporary URLs are secrets: never into a payload, a log or an error."""

    def segment_urls(self, key: ObjectKey, first: int, count: int) -> list[str]:
        """PUT URLs of the segments `first`, `first` + 1, ...; the first of all is 1.  A segment that is sent again is replaced."""
        ...

    def commit_object(self, key: ObjectKey, segments: Sequence[Segment], sha256: str) -> StoredObject:
        """The object consists of exactly these segments from now on; others with its key are removed.

        Raises CloudError 400 when what was sent is not what the list says.
        """
        ...

    def download_url(self, key: ObjectKey) -> str:
        """GET URL of the whole object; ranges may be asked for."""
        ...

    def show_object(self, key: ObjectKey) -> StoredObject | None: ...

    def objects(self, project: str, prefix: str = "") -> list[StoredObject]:
        """By path; what was begun and never committed too, and without `sha256`."""
        ...

    def delete_object(self, key: ObjectKey) -> None:
        """With all its segments, committed or not.  Accepts absence."""
        ...


def check_commit(segments: Sequence[Segment], sha256: str) -> None:
    """Raises CloudError 400 for what can be no object."""
    if not 1 <= len(segments) <= MOST_SEGMENTS:
        raise CloudError(f"An object has 1 to {MOST_SEGMENTS} segments, not {len(segments)}: choose larger ones.", 400)
    if len(sha256) != 64 or not _DIGEST.fullmatch(sha256):
        raise CloudError("The checksum is no SHA-256 in hexadecimal digits.", 400)


def object_name(key: ObjectKey) -> str:
    return f"objects/{key.path}"


def segments_prefix(key: ObjectKey) -> str:
    return f"segments/{key.path}/"


def segment_name(key: ObjectKey, number: int) -> str:
    """Raises CloudError 400 for a number that no segment has."""
    if not 1 <= number <= MOST_SEGMENTS:
        raise CloudError(f"An object has segments 1 to {MOST_SEGMENTS}, and no {number}.", 400)
    return f"{segments_prefix(key)}{number:08d}"


def path_of(name: str) -> str | None:
    """Of the object that this is, or is a segment of; None for what is not of our making."""
    if name.startswith("objects/"):
        path: str | None = name.removeprefix("objects/")
    else:
        of_segment = re.fullmatch(r"segments/(.+)/\d{8}", name)
        path = of_segment[1] if of_segment else None
    return path if path is not None and _PATH.fullmatch(path) else None
