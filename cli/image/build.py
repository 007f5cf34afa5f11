"""From an engine's name to a file that its servers boot from, with a list of what is in it beside it."""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.errors import CliError
from cli.image import disk, rootfs, sbom
from cli.image.recipes import Recipe
from guests.archive import build_archive

FORMATS = ("qcow2", "raw", "tar")
TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "syslinux": "syslinux",
    "sfdisk": "fdisk",
    "qemu-img": "qemu-utils",
}
"""Program and its Debian package.  A tar archive needs only the first."""
FREE_BYTES = 4 << 30

Say = Callable[[str], None]


@dataclass(frozen=True)
class Image:
    """`rootfs_sha256`: of the root file system as a tar archive, the same whatever the format; `version`: the engine's."""

    path: Path
    sbom: Path
    rootfs_sha256: str
    version: str
    agent: str

    def as_row(self) -> dict[str, Any]:
        return {
            "file": str(self.path),
            "contents": str(self.sbom),
            "engine_version": self.version,
            "agent": self.agent,
            "rootfs_sha256": self.rootfs_sha256,
        }


def check(format: str, work: Path) -> None:
    """Raises CliError, before anything is done, for what would make it fail later."""
    if os.geteuid() != 0:
        raise CliError(
            "only root can build an image: files in it belong to many users", "run the command as root, for instance with sudo"
        )
    needed = TOOLS if format != "tar" else {"mmdebstrap": TOOLS["mmdebstrap"]}
    missing = sorted({package for program, package in needed.items() if shutil.which(program) is None})
    if missing:
        raise CliError(f"programs are missing: {', '.join(missing)}", f"apt-get install {' '.join(missing)}")
    if format != "tar" and not disk.BOOT_CODE.exists():
        raise CliError(f"{disk.BOOT_CODE} is missing", "apt-get install syslinux-common")
    if shutil.disk_usage(work).free < FREE_BYTES:
        raise CliError(f"{work} has less than {FREE_BYTES >> 30} GiB free", "name another directory with --work")


def build(recipe: Recipe, output: Path, format: str, work: Path, say: Say, cache: Path | None = None) -> Image:
    """Replaces `output` when everything is done, and leaves nothing else behind."""
    check(format, work)
    archive = build_archive()
    with tempfile.TemporaryDirectory(prefix="coffer-image-", dir=work) as name:
        scratch = Path(name)
        root = scratch / "rootfs.tar"
        rootfs.build(recipe, archive, root, scratch, say, cache)
        digest = rootfs.digest(root)
        document = sbom.describe(root, archive, digest, f"coffer-{recipe.engine}")
        made = root
        if format != "tar":
            say("making the disk")
            made = scratch / "disk.raw"
            disk.write_raw(root, digest, made, scratch, rootfs.source_date_epoch())
        if format == "qcow2":
            say("compressing it")
            disk.write_qcow2(made, scratch / "disk.qcow2")
            made = scratch / "disk.qcow2"
        contents = output.with_name(output.name + ".cdx.json")
        sbom.write(document, contents)
        _move(made, output)
    return Image(output, contents, digest, sbom.version_of(document["components"], recipe.packages[0]), archive.release)


def _move(made: Path, output: Path) -> None:
    """Whole or not at all, also from one file system to another; holes stay holes."""
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(output.name + ".new")
    disk.run("cp", "--sparse=always", str(made), str(beside))
    beside.replace(output)
