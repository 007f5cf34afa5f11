"""Objects in Swift: segments that guests put through temporary URLs, and static large objects of them.

One container for each project, with signing keys of its own: what a URL of one project's container can be made to reach lies in that
container too (Swift holds even the segments of a manifest to it).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from clouds.objects import (
    ObjectKey,
    Segment,
    StoredObject,
    check_commit,
    object_name,
    path_of,
    segment_name,
    segments_prefix,
)
from clouds.openstack.calls import MESSAGE_LENGTH, Json, Services
from clouds.openstack.settings import Settings
from clouds.ports import CloudError
from clouds.tempurl import DIGESTS, temporary

KEY_HEADERS = ("X-Container-Meta-Temp-Url-Key", "X-Container-Meta-Temp-Url-Key-2")
SHA256_HEADER = "X-Object-Meta-Sha256"
NOT_FOUND = 404
PAGE = 1000


class SwiftObjects:
    def __init__(self, services: Services, settings: Settings) -> None:
        self._swift, self._settings, self._urls = services.objects, settings, settings.urls

    def segment_urls(self, key: ObjectKey, first: int, count: int) -> list[str]:
        names = [segment_name(key, number) for number in range(first, first + count)]
        self._ensure(self._container(key.project))
        return [self._temporary("PUT", key.project, name) for name in names]

    def commit_object(self, key: ObjectKey, segments: Sequence[Segment], sha256: str) -> StoredObject:
        check_commit(segments, sha256)
        container, size = self._container(key.project), sum(segment.size for segment in segments)
        names = [segment_name(key, number) for number in range(1, len(segments) + 1)]
        manifest = [
            {"path": f"/{container}/{name}", "etag": segment.md5, "size_bytes": segment.size}
            for name, segment in zip(names, segments, strict=True)
        ]
        # With `heartbeat` Swift says something every few seconds, while it looks at a thousand segments.
        answer = self._swift.ask(
            "PUT",
            f"/{container}/{object_name(key)}",
            params={"multipart-manifest": "put", "heartbeat": "on"},
            headers={SHA256_HEADER: sha256, "Content-Type": "application/octet-stream"},
            data=json.dumps(manifest),
        )
        _check_summary(answer.json(), f"Swift does not take {key.path}")
        self._remove_segments(key, kept=names)
        return StoredObject(key, size, sha256)

    def download_url(self, key: ObjectKey) -> str:
        self._ensure(self._container(key.project))
        return self._temporary("GET", key.project, object_name(key))

    def show_object(self, key: ObjectKey) -> StoredObject | None:
        try:
            headers = self._swift.ask("HEAD", f"/{self._container(key.project)}/{object_name(key)}").headers
        except CloudError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return StoredObject(key, int(headers["Content-Length"]), headers.get(SHA256_HEADER, ""))

    def objects(self, project: str, prefix: str = "") -> list[StoredObject]:
        found: dict[str, StoredObject] = {}
        for kind in ("segments", "objects"):  # what is complete stands
            for entry in self._list(self._container(project), f"{kind}/{prefix}"):
                if path := path_of(entry["name"]):
                    key, complete = ObjectKey(project, path), kind == "objects"
                    before = found[path].size if path in found and not complete else 0
                    found[path] = StoredObject(key, before + entry["bytes"], complete=complete)
        return [found[path] for path in sorted(found)]

    def delete_object(self, key: ObjectKey) -> None:
        container = self._container(key.project)
        answer = self._swift.ask("DELETE", f"/{container}/{object_name(key)}", params={"multipart-manifest": "delete"})
        _check_summary(answer.json(), f"Swift does not delete {key.path}")
        self._remove_segments(key)

    def _remove_segments(self, key: ObjectKey, kept: Sequence[str] = ()) -> None:
        container = self._container(key.project)
        names = [entry["name"] for entry in self._list(container, segments_prefix(key))]
        for name in names:
            # The prefix is that of keys below this one too.
            if path_of(name) == key.path and name not in kept:
                self._swift.delete(f"/{container}/{name}")

    def _list(self, container: str, prefix: str) -> Iterator[Json]:
        """Whatever begins so, in any depth; nothing of a container that is not there."""
        marker = ""
        while True:
            where = {"format": "json", "prefix": prefix, "marker": marker, "limit": str(PAGE)}
            try:
                page = self._swift.ask("GET", f"/{container}", params=where)
            except CloudError as error:
                if error.status == NOT_FOUND:
                    return
                raise
            entries = page.json() if page.content else []
            yield from entries
            if len(entries) < PAGE:
                return
            marker = entries[-1]["name"]

    def _container(self, project: str) -> str:
        return f"{self._settings.container}-{project}"

    def _temporary(self, method: str, project: str, name: str) -> str:
        endpoint = urlsplit(self._swift.endpoint())
        base = self._urls.endpoint.rstrip("/") or f"{endpoint.scheme}://{endpoint.netloc}"
        path = f"{endpoint.path}/{self._container(project)}/{name}"
        key = self._urls.keys[0]
        return temporary(base, method, path, key, self._urls.lifetime, self._digest, self._urls.ip_range)

    def _ensure(self, container: str) -> None:
        """The container, and in it the key that we sign with: as the newest, unless others have gone on to one that is newer."""
        if not self._urls.keys:
            raise CloudError("No key is configured that temporary URLs could be signed with.", 400)
        if self._urls.keys[0] not in self._keys_of(container):
            pair = (*self._urls.keys[:2], "")[:2]
            self._swift.ask("PUT", f"/{container}", headers=dict(zip(KEY_HEADERS, pair, strict=True)))

    def _keys_of(self, container: str) -> list[str]:
        try:
            headers: Mapping[str, str] = self._swift.ask("HEAD", f"/{container}").headers
        except CloudError as error:
            if error.status == NOT_FOUND:
                return []
            raise
        return [headers.get(name, "") for name in KEY_HEADERS]

    @cached_property
    def _digest(self) -> str:
        """The best that this Swift takes."""
        endpoint = urlsplit(self._swift.endpoint())
        try:
            capabilities = self._swift.get(f"{endpoint.scheme}://{endpoint.netloc}/info")
        except CloudError as error:
            if error.status != NOT_FOUND:
                raise
            return "sha256"  # not told: what every Swift since 2018 takes
        if "tempurl" not in capabilities or "slo" not in capabilities:
            raise CloudError(
                "Swift lacks temporary URLs or static large objects: add tempurl and slo to its proxy's pipeline.", 400
            )
        allowed = capabilities["tempurl"].get("allowed_digests", ["sha256"])
        found = next((digest for digest in DIGESTS if digest in allowed), None)
        if found is None:
            raise CloudError(
                f"Swift takes temporary URLs with none of {', '.join(DIGESTS)}: see allowed_digests of its tempurl.", 400
            )
        return found


def _check_summary(summary: Mapping[str, Any], what: str) -> None:
    """A long request is answered before it is done: its end is told in the body."""
    said = re.match(r"\d{3}", str(summary.get("Response Status", "")))
    errors = [f"{name}: {reason}" for name, reason in summary.get("Errors", ())]
    if said and int(said[0]) < 400 and not errors:
        return
    status = int(said[0]) if said else 500
    if status == NOT_FOUND and not errors:
        return
    reasons = "; ".join(errors) or str(summary.get("Response Body") or summary.get("Response Status"))
    raise CloudError(f"{what}: {reasons}"[:MESSAGE_LENGTH], status if status >= 400 else 503)
