"""Volumes in Cinder.  Name = key; key and owner are metadata too.

Cinder has nothing that is unique for its callers.  Two calls at once, or one whose answer was lost on a slow service, may make two
volumes: every create looks again afterwards, and all agree on the one that stays.
"""

import json
from collections.abc import Set

from clouds.openstack.calls import Json, Services
from clouds.openstack.looks import Looks
from clouds.openstack.settings import Settings
from clouds.ports import CloudError, Volume, VolumeStatus, WantVolume

MARK = {"coffer": "data"}
STATUSES = {
    "creating": VolumeStatus.CREATING,
    "downloading": VolumeStatus.CREATING,
    "available": VolumeStatus.AVAILABLE,
    "deleting": VolumeStatus.ERROR,
}


class CinderVolumes:
    def __init__(self, services: Services, settings: Settings) -> None:
        self._cinder, self._settings = services.volumes, settings
        self._looks = Looks(self._look, settings.poll_interval)

    def create_volume(self, want: WantVolume) -> Volume:
        if want.size_gb < 1:
            raise CloudError("A volume has at least 1 GB.", 400)
        found = self._live(want.key)
        if not found:
            try:
                self._cinder.post("/volumes", {"volume": self._described(want)})
            except CloudError as error:
                raise CloudError(str(error), 400 if error.status == 404 else error.status, error.retry_after) from error
            found = self._live(want.key)
        if not found:
            raise CloudError(f"Volume {want.key} is gone as soon as it was made.", 409)
        return _volume(self._keep_one(found))

    def show_volume(self, key: str) -> Volume | None:
        return self._looks.show(key)

    def volumes_of(self, owner: str) -> list[Volume]:
        return [_volume(raw) for raw in self._list(metadata={"coffer_owner": owner})]

    def volumes(self) -> list[Volume]:
        return [_volume(raw) for raw in self._list(metadata=MARK)]

    def delete_volume(self, key: str) -> None:
        for raw in self._find(key):
            self._remove(raw)

    def keep_one(self, key: str) -> None:
        if found := self._live(key):
            self._keep_one(found)

    def chosen(self, key: str) -> Json | None:
        """The volume that has the key, as Cinder tells of it."""
        found = self._live(key)
        return min(found, key=_rank) if found else None

    def _described(self, want: WantVolume) -> Json:
        body: Json = {"name": want.key, "size": want.size_gb}
        body["metadata"] = {**MARK, "coffer_key": want.key, "coffer_owner": want.owner}
        if kind := want.volume_type or self._settings.volume_type:
            body["volume_type"] = kind
        if zone := want.availability_zone or self._settings.availability_zone:
            body["availability_zone"] = zone
        if want.image_id:
            body["imageRef"] = want.image_id
        return body

    def _keep_one(self, found: list[Json]) -> Json:
        kept, *others = sorted(found, key=_rank)
        for other in others:
            self._remove(other)
        return kept

    def _remove(self, raw: Json) -> None:
        id, status = raw["id"], raw["status"]
        if status == "deleting":
            return
        if status == "error_deleting":  # an ordinary delete is refused from here on
            self._cinder.post(f"/volumes/{id}/action", {"os-force_delete": {}})
            return
        if status != "available" and not status.startswith("error"):
            raise CloudError(f"Volume {raw['name']} is {status}.", 409)
        try:
            self._cinder.delete(f"/volumes/{id}")
        except CloudError as error:
            # Its status has changed since we looked.
            raise CloudError(str(error), 409 if error.status == 400 else error.status, error.retry_after) from error

    def _live(self, key: str) -> list[Json]:
        return [raw for raw in self._find(key) if raw["status"] != "deleting"]

    def _find(self, key: str) -> list[Json]:
        return self._list(name=key)

    def _look(self, keys: Set[str]) -> dict[str, Volume]:
        """One key by its name, several by the mark that all of ours have."""
        raws = self._find(next(iter(keys))) if len(keys) == 1 else self._list(metadata=MARK)
        # Of several with one name the one that is kept comes last, and stands.
        return {raw["name"]: _volume(raw) for raw in sorted(raws, key=_rank, reverse=True)}

    def _list(self, name: str = "", metadata: dict[str, str] | None = None) -> list[Json]:
        filters = {"name": name} if name else {"metadata": json.dumps(metadata).replace('"', "'")}
        return list(self._cinder.pages("/volumes/detail", "volumes", **filters))


def _rank(raw: Json) -> tuple[bool, bool, str, str]:
    """Who is kept of several: never one that goes away, rather one in use, the oldest."""
    return raw["status"] == "deleting", not raw["attachments"], raw["created_at"], raw["id"]


def _volume(raw: Json) -> Volume:
    status = raw["status"]
    known = VolumeStatus.ERROR if status.startswith("error") else STATUSES.get(status, VolumeStatus.IN_USE)
    owner = raw["metadata"].get("coffer_owner", "")
    return Volume(raw["id"], raw["name"], owner, raw["size"], known)
