"""Guest images in Glance: found again by what is in them, so that an upload may be repeated and killed anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keystoneauth1.exceptions import ClientException
from openstack.connection import Connection
from openstack.exceptions import HttpException, SDKException

from clouds.openstack.settings import Credentials
from clouds.ports import CloudError

DIGEST = "coffer_rootfs_sha256"
OFFERED = "active"
HARDWARE: Mapping[str, str] = {
    "hw_disk_bus": "virtio",
    "hw_vif_model": "virtio",
    "hw_rng_model": "virtio",
    # Its kernel has no driver for the SATA drive that a q35 machine would have the config drive in.
    "hw_cdrom_bus": "scsi",
    "hw_scsi_model": "virtio-scsi",
    "os_type": "linux",
    "os_distro": "debian",
}
"""What the image's kernel expects of its machine."""


@dataclass(frozen=True)
class ImageFile:
    """`format`: Glance's disk format.  `rootfs_sha256`: what is in it, whatever the format.  `properties`: more of ours."""

    path: Path
    name: str
    format: str
    rootfs_sha256: str
    min_disk_gb: int
    properties: Mapping[str, str] = field(default_factory=dict)


def connect(credentials: Credentials) -> Connection:
    return Connection(
        auth={
            "auth_url": credentials.auth_url,
            "username": credentials.username,
            "password": credentials.password,
            "project_name": credentials.project_name,
            "user_domain_name": credentials.user_domain_name,
            "project_domain_name": credentials.project_domain_name,
        },
        region_name=credentials.region_name or None,
        interface=credentials.interface,
        verify=False if credentials.insecure else credentials.cacert or True,
        app_name="coffer",
    )


def upload_image(connection: Connection, image: ImageFile) -> str:
    """The id of the active image with these contents and format: the one that is there, or a new one.

    What an attempt that was killed has left is removed.  Raises CloudError.
    """
    try:
        whole = None
        for found in list(connection.image.images(name=image.name)):
            if (found.properties or {}).get(DIGEST) != image.rootfs_sha256 or found.disk_format != image.format:
                continue
            if found.status == OFFERED and whole is None:
                whole = found
            else:
                connection.image.delete_image(str(found.id))
        return str((whole or _create(connection, image)).id)
    except HttpException as error:
        raise CloudError(f"Glance: {error.message} ({error.status_code})", error.status_code or 500) from error
    except (SDKException, ClientException) as error:
        raise CloudError(f"Glance does not answer: {type(error).__name__}: {error}", 503) from error


def _create(connection: Connection, image: ImageFile) -> Any:
    properties: dict[str, Any] = {**HARDWARE, **image.properties, DIGEST: image.rootfs_sha256}
    return connection.image.create_image(
        name=image.name,
        filename=str(image.path),
        disk_format=image.format,
        container_format="bare",
        visibility="private",
        min_disk=image.min_disk_gb,
        allow_duplicates=True,
        wait=True,
        **properties,
    )
