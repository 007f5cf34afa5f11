"""Volumes: of data, and of root disks where these are volumes."""

from temporalio import activity

from activities.errors import VOLUME_FAILED, final
from activities.waiting import cloud_calls, until
from clouds.changes import Changes
from clouds.ports import Volume, Volumes, VolumeStatus, WantVolume
from models import Database, DatastoreVersion
from workflows.contracts import Operation, Want


class CinderActivities:
    def __init__(self, volumes: Volumes, changes: Changes, database: Database) -> None:
        self._volumes, self._changes, self._database = volumes, changes, database

    @activity.defn(name="cinder.create_volume", no_thread_cancel_exception=True)
    def create_volume(self, want: Want) -> str:
        """Find or create, then see it usable; gives its id."""
        with cloud_calls(), self._changes.watch(want.key) as watch:
            volume = self._volumes.create_volume(self._described(want))
            if volume.status is VolumeStatus.CREATING:
                volume = until(lambda: self._settled(want.key), watch, seen=True)
        if volume.status is VolumeStatus.ERROR:
            raise final(VOLUME_FAILED, f"The volume of {want.size_gb} GiB could not be made.")
        return volume.id

    @activity.defn(name="cinder.delete_volume", no_thread_cancel_exception=True)
    def delete_volume(self, want: Want) -> None:
        with cloud_calls():
            self._remove(want.key)

    @activity.defn(name="cinder.keep_one_volume", no_thread_cancel_exception=True)
    def keep_one_volume(self, want: Want) -> None:
        """A call whose answer was lost may have made another one, long after it was given up.  The server's stays."""
        with cloud_calls():
            self._volumes.keep_one(want.key)

    @activity.defn(name="cinder.delete_volumes_of", no_thread_cancel_exception=True)
    def delete_volumes_of(self, op: Operation) -> None:
        with cloud_calls():
            for volume in self._volumes.volumes_of(op.instance_id):
                self._remove(volume.key)

    def _described(self, want: Want) -> WantVolume:
        """With the version's image on it, where a version is named: such a one is a server's root disk."""
        image_id = None
        if want.datastore_version_id:
            with self._database.read() as s:
                image_id = s.get_one(DatastoreVersion, want.datastore_version_id).image_id
        kind, zone = want.volume_type or None, want.availability_zone or None
        return WantVolume(want.key, want.op.instance_id, want.size_gb, kind, zone, image_id)

    def _remove(self, key: str) -> None:
        with self._changes.watch(key) as watch:
            self._volumes.delete_volume(key)
            until(lambda: True if self._volumes.show_volume(key) is None else None, watch)

    def _settled(self, key: str) -> Volume | None:
        volume = self._volumes.show_volume(key)
        return volume if volume and volume.status is not VolumeStatus.CREATING else None
