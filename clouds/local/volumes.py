"""Volumes: a directory with an enforced size.

As root with loop devices it is a disk image of that size, mounted.  Elsewhere it is a plain directory, and the server on it may
write no single file larger than the volume (RLIMIT_FSIZE): many files together can still exceed it.
"""

import errno
import logging
import os
import shutil
from pathlib import Path

from clouds.local import disks
from clouds.local.state import Record, State, short_id
from clouds.ports import CloudError, Volume, VolumeStatus, WantVolume

GIB = 1 << 30
IMAGE = "image"
DIRECTORY = "directory"
NO_MOUNTS_HERE = (errno.EPERM, errno.EACCES, errno.ENODEV, errno.ENOENT, errno.ENXIO, errno.ENOTTY, errno.EINVAL, errno.ENOSYS)

log = logging.getLogger(__name__)
_warned = False


class LocalVolumes:
    def __init__(self, state: State) -> None:
        self._state = state

    def create_volume(self, want: WantVolume) -> Volume:
        if want.size_gb < 1:
            raise CloudError("A volume has at least 1 GB.", 400)
        id = short_id(want.key)
        with self._state.working_on(id):
            record = self._state.volumes.read(id)
            if record and record["phase"] == "deleting":
                self._destroy(record)
                record = None
            if record is None:
                record = {
                    "id": id,
                    "key": want.key,
                    "owner": want.owner,
                    "size_gb": want.size_gb,
                    "kind": IMAGE if disks.available() else DIRECTORY,
                    "phase": "creating",
                }
                self._state.volumes.write(record)
            if record["phase"] == "creating":
                self._build(record)
            return self._volume(record, self._used())

    def show_volume(self, key: str) -> Volume | None:
        record = self._state.volumes.read(short_id(key))
        return self._volume(record, self._used()) if record else None

    def volumes_of(self, owner: str) -> list[Volume]:
        return [volume for volume in self.volumes() if volume.owner == owner]

    def volumes(self) -> list[Volume]:
        used = self._used()
        return [self._volume(record, used) for record in self._state.volumes.all()]

    def delete_volume(self, key: str) -> None:
        id = short_id(key)
        with self._state.working_on(id):
            with self._state.registry():
                record = self._state.volumes.read(id)
                if record is None:
                    self._state.volumes.remove(id)
                    return
                if id in self._used():
                    raise CloudError(f"Volume {key} is in use by a server.", 409)
                record["phase"] = "deleting"
                self._state.volumes.write(record)
            self._destroy(record)

    def keep_one(self, key: str) -> None:
        """There are never two: the key names the directory."""

    def _build(self, record: Record) -> None:
        data = data_directory(self._state, record["id"])
        data.mkdir(parents=True, exist_ok=True)
        try:
            if record["kind"] == IMAGE and not self._mounted(record):
                record["kind"] = DIRECTORY
                shutil.rmtree(data.parent)
                data.mkdir(parents=True)
        except OSError as error:
            raise CloudError(f"Volume {record['key']} cannot be made: {error}", 500) from error
        if record["kind"] == DIRECTORY:
            _warn_once()
        record["phase"] = "available"
        self._state.volumes.write(record)

    def _mounted(self, record: Record) -> bool:
        """False where this host lets us mount nothing."""
        image = _image(self._state, record["id"])
        if not image.exists():
            disks.make_image(image, record["size_gb"] * GIB)
        try:
            attach(self._state, record)
        except OSError as error:
            if error.errno in NO_MOUNTS_HERE:
                return False
            raise
        # Engines want an empty directory.
        lost_and_found = data_directory(self._state, record["id"]) / "lost+found"
        if lost_and_found.exists():
            lost_and_found.rmdir()
        return True

    def _destroy(self, record: Record) -> None:
        directory = self._state.volumes.directory / record["id"]
        try:
            detach(self._state, record)
            if directory.exists():
                shutil.rmtree(directory)
        except OSError as error:
            raise CloudError(f"Volume {record['key']} cannot be removed yet: {error}", 500) from error
        self._state.volumes.remove(record["id"])

    def _used(self) -> set[str]:
        return {server["volume_id"] for server in self._state.servers.all()}

    def _volume(self, record: Record, used: set[str]) -> Volume:
        lost = record["kind"] == IMAGE and not _image(self._state, record["id"]).exists()
        if record["phase"] == "creating":
            status = VolumeStatus.CREATING
        elif record["phase"] == "deleting" or lost:
            status = VolumeStatus.ERROR
        else:
            in_use = record["id"] in used and is_attached(self._state, record)
            status = VolumeStatus.IN_USE if in_use else VolumeStatus.AVAILABLE
        return Volume(record["id"], record["key"], record["owner"], record["size_gb"], status)


def attach(state: State, record: Record) -> None:
    """Makes the volume's directory usable, after a reboot of the host too.  Raises OSError."""
    if record["kind"] == IMAGE:
        disks.ensure_mounted(_image(state, record["id"]), data_directory(state, record["id"]))


def is_attached(state: State, record: Record) -> bool:
    return record["kind"] != IMAGE or disks.mount_count(data_directory(state, record["id"])) > 0


def detach(state: State, record: Record) -> None:
    disks.ensure_unmounted(_image(state, record["id"]), data_directory(state, record["id"]))


def file_size_limit(record: Record) -> int | None:
    """The largest file its server may write, where nothing else enforces the size."""
    return record["size_gb"] * GIB if record["kind"] == DIRECTORY else None


def data_directory(state: State, id: str) -> Path:
    return state.volumes.directory / id / "data"


def _image(state: State, id: str) -> Path:
    return state.volumes.directory / id / "disk"


def _warn_once() -> None:
    global _warned
    if not _warned:
        _warned = True
        reason = "not root" if os.geteuid() else "no loop mounts or no mkfs.ext4"
        log.warning("Volumes are plain directories here (%s): their size is enforced per file only", reason)
