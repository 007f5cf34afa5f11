"""A root file system as a disk that a server boots from by itself: GPT, SYSLINUX on a small FAT partition, ext4.

Nothing is mounted, so no loop device is needed.
"""

import os
import re
import shutil
import subprocess
import uuid
from pathlib import Path

from cli.errors import CliError

SECTOR = 512
ALIGN = 1 << 20
BOOT_BYTES = 96 << 20
SPARE_BYTES = 128 << 20
LABEL = "coffer-root"
BOOT_CODE = Path("/usr/lib/syslinux/mbr/gptmbr.bin")
EXTENDED_BOOT = "BC13C2FF-59E6-4262-A352-B275FD6F7172"
ROOT_AMD64 = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
NAMES = uuid.UUID("6f1d2f2e-6f6e-5c0e-9d5e-2b1d0c0ffe12")

BOOT_MENU = f"""\
DEFAULT coffer
PROMPT 0
TIMEOUT 0
LABEL coffer
  LINUX /vmlinuz
  INITRD /initrd.img
  APPEND root=LABEL={LABEL} ro console=tty0 console=ttyS0,115200 quiet panic=10 net.ifnames=0 no_timer_check
"""


def write_raw(rootfs: Path, sha256: str, output: Path, work: Path, epoch: int) -> None:
    """`output`: a sparse file as small as the contents allow; the root partition grows into the disk at its first boot."""
    tree = work / "tree"
    tree.mkdir()
    try:
        run("tar", "--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", str(tree), "-f", str(rootfs))
        root, boot = work / "root.ext4", work / "boot.fat"
        _make_root(tree, root, sha256, epoch)
        _make_boot(tree, boot, sha256, epoch)
    finally:
        shutil.rmtree(tree)
    _join(boot, root, output, sha256)
    root.unlink()
    boot.unlink()


def write_qcow2(raw: Path, output: Path) -> None:
    run("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", str(raw), str(output))


def _make_root(tree: Path, image: Path, sha256: str, epoch: int) -> None:
    used = int(run("du", "--summarize", "--block-size=1", str(tree)).split()[0])
    size = _aligned(used + used // 12 + SPARE_BYTES)
    image.touch()
    os.truncate(image, size)
    identity = uuid.uuid5(NAMES, sha256)
    options = f"hash_seed={uuid.uuid5(identity, 'hash')},lazy_itable_init=1,root_owner=0:0"
    run(
        *("mkfs.ext4", "-q", "-F", "-L", LABEL, "-U", str(identity), "-E", options, "-m", "1", "-d", str(tree), str(image)),
        E2FSPROGS_FAKE_TIME=str(epoch),
    )


def _make_boot(tree: Path, image: Path, sha256: str, epoch: int) -> None:
    kernels = sorted((tree / "boot").glob("vmlinuz-*"), key=lambda path: _numbers(path.name))
    if not kernels:
        raise CliError("the root file system has no kernel in /boot", "build it anew")
    kernel = kernels[-1]
    initrd = kernel.with_name(kernel.name.replace("vmlinuz", "initrd.img", 1))
    image.touch()
    os.truncate(image, BOOT_BYTES)
    serial = uuid.uuid5(uuid.uuid5(NAMES, sha256), "boot").hex[:8]
    date = {"SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1"}
    run("mkfs.vfat", "--invariant", "-i", serial, "-n", "COFFERBOOT", str(image), **date)
    menu = image.with_name("syslinux.cfg")
    menu.write_text(BOOT_MENU)
    for source, name in ((kernel, "vmlinuz"), (initrd, "initrd.img"), (menu, "syslinux.cfg")):
        os.utime(source, (epoch, epoch))
        run("mcopy", "-m", "-i", str(image), str(source), f"::{name}", **date)
    menu.unlink()
    run("syslinux", "--install", str(image), **date)


def _join(boot: Path, root: Path, output: Path, sha256: str) -> None:
    identity = uuid.uuid5(NAMES, sha256)
    boot_at, root_at = ALIGN, ALIGN + BOOT_BYTES
    end = root_at + root.stat().st_size
    output.unlink(missing_ok=True)
    output.touch()
    os.truncate(output, end + ALIGN)
    lines = [
        "label: gpt",
        f"label-id: {identity}",
        f"start={boot_at // SECTOR}, size={BOOT_BYTES // SECTOR}, type={EXTENDED_BOOT}, uuid={uuid.uuid5(identity, 'p1')},"
        " attrs=LegacyBIOSBootable",
        f"start={root_at // SECTOR}, size={root.stat().st_size // SECTOR}, type={ROOT_AMD64}, uuid={uuid.uuid5(identity, 'p2')}",
    ]
    run("sfdisk", "--quiet", str(output), stdin="\n".join(lines) + "\n")
    for part, offset in ((boot, boot_at), (root, root_at)):
        run("dd", f"if={part}", f"of={output}", "bs=1M", f"seek={offset // ALIGN}", "conv=notrunc,sparse", "status=none")
    with output.open("r+b") as disk:
        disk.write(BOOT_CODE.read_bytes()[:440])


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def run(*argv: str, stdin: str = "", **environment: str) -> str:
    """What it wrote; CliError with its last words when it failed."""
    done = subprocess.run(argv, input=stdin, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CliError(f"{argv[0]} has failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout
