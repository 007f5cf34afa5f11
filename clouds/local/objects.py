"""The embedded cloud's object store: a directory for each project, and in it what Swift's container would have.

    objects/PROJECT/keys            who signs URLs, newest first
    objects/PROJECT/o/NAME          manifests: {"segments": [{"name", "size", "md5"}], "sha256"}
    objects/PROJECT/s/NAME          segments; NAME is that of the object in Swift, with slashes as "!"
    objects/PROJECT/s/.NAME.RANDOM  a segment on its way

Guests reach it by HTTP (`objectserver`), at an address that is made from the directory's name.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clouds.local.state import State, write_durably
from clouds.objects import (
    ObjectKey,
    Segment,
    StoredObject,
    UrlRules,
    check_commit,
    object_name,
    path_of,
    segment_name,
    segments_prefix,
)
from clouds.ports import CloudError
from clouds.tempurl import DIGESTS, temporary

PORT = 8088
ACCOUNT = "/v1/coffer"
CHUNK = 1 << 20


def address_of(directory: Path) -> str:
    """Below those of servers (networks.FIRST); several state directories share a host without knowing each other."""
    digest = hashlib.sha256(str(directory.resolve()).encode()).digest()
    return f"127.{32 + digest[0] % 32}.{digest[1]}.{1 + digest[2] % 254}"


@dataclass(frozen=True)
class Container:
    """The files of one project."""

    root: Path

    def make(self) -> None:
        for name in ("o", "s"):
            (self.root / name).mkdir(mode=0o700, parents=True, exist_ok=True)

    def file(self, name: str) -> Path:
        kind = "o" if name.startswith("objects/") else "s"
        return self.root / kind / name.replace("/", "!")

    def draft(self, name: str) -> Path:
        file = self.file(name)
        return file.with_name(f".{file.name}.{os.urandom(4).hex()}")

    def names(self) -> list[str]:
        """Of all that is complete in itself; sorted."""
        found = (path.name.replace("!", "/") for kind in ("o", "s") for path in (self.root / kind).glob("*"))
        return sorted(name for name in found if path_of(name))

    def manifest(self, name: str) -> dict[str, Any] | None:
        try:
            read: dict[str, Any] = json.loads(self.file(name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return read

    def signers(self) -> list[str]:
        try:
            return (self.root / "keys").read_text(encoding="ascii").split()
        except FileNotFoundError:
            return []


class LocalObjects:
    def __init__(self, state: State, rules: UrlRules) -> None:
        self._state, self._rules = state, rules
        self._root = state.directory / "objects"
        self._base = rules.endpoint.rstrip("/") or f"http://{address_of(state.directory)}:{PORT}"

    def segment_urls(self, key: ObjectKey, first: int, count: int) -> list[str]:
        names = [segment_name(key, number) for number in range(first, first + count)]
        return [self._temporary("PUT", key.project, name) for name in names]

    def commit_object(self, key: ObjectKey, segments: Sequence[Segment], sha256: str) -> StoredObject:
        check_commit(segments, sha256)
        container, names = self._container(key.project), []
        with self._changing(key.project):
            for number, segment in enumerate(segments, 1):
                name = segment_name(key, number)
                _check_segment(container.file(name), name, segment)
                names.append(name)
            listed = [
                {"name": name, "size": segment.size, "md5": segment.md5} for name, segment in zip(names, segments, strict=True)
            ]
            write_durably(container.file(object_name(key)), json.dumps({"segments": listed, "sha256": sha256}))
            self._remove(container, key, lambda name: name not in names)
        return StoredObject(key, sum(segment.size for segment in segments), sha256)

    def download_url(self, key: ObjectKey) -> str:
        return self._temporary("GET", key.project, object_name(key))

    def show_object(self, key: ObjectKey) -> StoredObject | None:
        manifest = self._container(key.project).manifest(object_name(key))
        return StoredObject(key, _size(manifest), manifest["sha256"]) if manifest else None

    def objects(self, project: str, prefix: str = "") -> list[StoredObject]:
        container = self._container(project)
        found: dict[str, StoredObject] = {}
        for name in reversed(container.names()):  # segments, then what is complete
            path = path_of(name)
            if path is None or not path.startswith(prefix):
                continue
            key, complete = ObjectKey(project, path), name.startswith("objects/")
            with contextlib.suppress(FileNotFoundError):
                before = found[path].size if path in found and not complete else 0
                size = _size(container.manifest(name)) if complete else container.file(name).stat().st_size
                found[path] = StoredObject(key, before + size, complete=complete)
        return [found[path] for path in sorted(found)]

    def delete_object(self, key: ObjectKey) -> None:
        container = self._container(key.project)
        with self._changing(key.project):
            container.file(object_name(key)).unlink(missing_ok=True)
            self._remove(container, key, lambda _: True)

    def _remove(self, container: Container, key: ObjectKey, chosen: Callable[[str], bool]) -> None:
        for name in container.names():
            # The prefix is that of keys below this one too.
            if name.startswith(segments_prefix(key)) and path_of(name) == key.path and chosen(name):
                container.file(name).unlink(missing_ok=True)
        # What is on its way still comes too late, or its sender is gone.
        for draft in container.file(segments_prefix(key)).parent.glob(".segments!*"):
            if path_of(draft.name[1:].rpartition(".")[0].replace("!", "/")) == key.path:
                draft.unlink(missing_ok=True)

    def _temporary(self, method: str, project: str, name: str) -> str:
        self._ensure(project)
        path = f"{ACCOUNT}/{project}/{name}"
        return temporary(self._base, method, path, self._rules.keys[0], self._rules.lifetime, DIGESTS[0], self._rules.ip_range)

    def _ensure(self, project: str) -> None:
        """The key that we sign with: as the newest, unless others have gone on to one that is newer."""
        if not self._rules.keys:
            raise CloudError("No key is configured that temporary URLs could be signed with.", 400)
        container = self._container(project)
        if self._rules.keys[0] in container.signers():
            return
        with self._changing(project):
            write_durably(container.root / "keys", "\n".join(self._rules.keys[:2]), 0o600)

    @contextlib.contextmanager
    def _changing(self, project: str) -> Iterator[None]:
        with self._state.working_on(hashlib.sha256(f"objects/{project}".encode()).hexdigest()):
            self._container(project).make()
            yield

    def _container(self, project: str) -> Container:
        return Container(self._root / project)


def _check_segment(path: Path, name: str, segment: Segment) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while piece := file.read(CHUNK):
                digest.update(piece)
            size = file.tell()
    except FileNotFoundError:
        raise CloudError(f"Segment {name} is not there.", 400) from None
    if (size, digest.hexdigest()) != (segment.size, segment.md5):
        raise CloudError(f"Segment {name} is not what was announced.", 400)


def _size(manifest: dict[str, Any] | None) -> int:
    return sum(segment["size"] for segment in manifest["segments"]) if manifest else 0
