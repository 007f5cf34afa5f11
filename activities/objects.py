"""Objects: a guest sends and reads them, by URLs that are made here and go over its channel only."""

from typing import Any

from sqlalchemy import select
from temporalio import activity

from activities.errors import cloud_errors
from activities.guest import GuestActivities
from activities.waiting import cloud_calls
from clouds.objects import ObjectKey, ObjectStore, Segment
from guests.transfer import Granted
from models import Database, OperationRow
from workflows.contracts import CHECKS, ObjectFacts, ObjectTransfer, Operation


class ObjectActivities:
    """`segment_size` in bytes; `url_lifetime` in seconds, as the store makes URLs."""

    def __init__(
        self, store: ObjectStore, guests: GuestActivities, database: Database, segment_size: int, url_lifetime: int
    ) -> None:
        self._store, self._guests, self._database = store, guests, database
        self._segment_size, self._url_lifetime = segment_size, url_lifetime

    @activity.defn(name="objects.upload", no_thread_cancel_exception=True)
    def upload(self, transfer: ObjectTransfer) -> ObjectFacts:
        """See that the guest has sent a sample of a little more than two segments, and commit it."""
        key = _key(transfer)
        granted = Granted(self._url_lifetime, segments=lambda first, count: self._store.segment_urls(key, first, count))
        spec = {"size": 2 * self._segment_size + 1, "segment_size": self._segment_size}
        with cloud_errors():
            sent = self._guests.transfer(transfer, "check_upload", spec, granted)
        with cloud_calls():
            stored = self._store.commit_object(key, _segments(sent), str(sent["sha256"]))
        return ObjectFacts(stored.size, stored.sha256)

    @activity.defn(name="objects.download", no_thread_cancel_exception=True)
    def download(self, transfer: ObjectTransfer) -> None:
        """See that the guest has read the object, and has found it to be what was sent."""
        key = _key(transfer)
        granted = Granted(self._url_lifetime, download=lambda: self._store.download_url(key))
        with cloud_errors():
            self._guests.transfer(transfer, "check_download", {"size": transfer.size, "sha256": transfer.sha256}, granted)

    @activity.defn(name="objects.remove", no_thread_cancel_exception=True)
    def remove(self, transfer: ObjectTransfer) -> None:
        """With whatever was sent of it and never committed."""
        with cloud_calls():
            self._store.delete_object(_key(transfer))

    @activity.defn(name="objects.delete_objects_of", no_thread_cancel_exception=True)
    def delete_objects_of(self, op: Operation) -> None:
        """What checks of the instance have sent.  Where it never had one the store is not asked: there may be none."""
        mine = OperationRow.instance_id == op.instance_id, OperationRow.kind == "GuestObjectCheck"
        with self._database.read() as s:
            paths = {f"{CHECKS}{id}" for id in s.scalars(select(OperationRow.id).where(*mine))}
        with cloud_calls():
            for stored in self._store.objects(op.project_id, CHECKS) if paths else ():
                if stored.key.path in paths:
                    self._store.delete_object(stored.key)


def _key(transfer: ObjectTransfer) -> ObjectKey:
    return ObjectKey(transfer.op.project_id, transfer.path)


def _segments(sent: dict[str, Any]) -> list[Segment]:
    return [Segment(int(one["size"]), str(one["md5"])) for one in sent["segments"]]
