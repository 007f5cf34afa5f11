"""The root file system as a tar archive, by mmdebstrap: the same packages and files give the same bytes."""

import hashlib
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from cli.errors import CliError
from cli.image import mirror, overlay
from cli.image.recipes import REMOVE, SUITE, SYSTEM, Recipe
from guests.archive import Archive

PIECE = 1 << 20
UNSAFE_IO = "/etc/dpkg/dpkg.cfg.d/unsafe-io"
"""While it is built: dpkg need not see each file on the disk, since a build that breaks off is begun anew."""
TAIL_LINES = 15

Say = Callable[[str], None]


def source_date_epoch() -> int:
    said = os.environ.get("SOURCE_DATE_EPOCH", "")
    if said and not said.isdecimal():
        raise CliError(f"SOURCE_DATE_EPOCH is {said!r}", "set it to seconds since 1970, or unset it")
    return int(said) if said else overlay.EPOCH


def build(recipe: Recipe, archive: Archive, output: Path, work: Path, say: Say, cache: Path | None = None) -> None:
    """Writes the archive to `output`; `work` is for what is needed meanwhile.  `cache`: keeps packages from one build to the next."""
    epoch = source_date_epoch()
    overlay.write(work / "overlay.tar", recipe, archive, epoch)
    (work / "sources").write_text(mirror.sources())
    dumped = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    (work / "apt.conf").write_text("\n".join(mirror.options(dumped)) + "\n")
    argv = command(recipe, work, output, cache)
    environment = mirror.environment() | {"SOURCE_DATE_EPOCH": str(epoch), "TMPDIR": str(work)}
    _run(alone(argv, (work, output.parent, cache or work)), environment, say)


def command(recipe: Recipe, work: Path, output: Path, cache: Path | None) -> list[str]:
    argv = ["mmdebstrap", "--mode=root", "--variant=apt", "--format=tar"]
    argv += [f"--include={','.join((*SYSTEM, *recipe.packages))}"]
    argv += ['--aptopt=APT::Install-Recommends "false"', f"--aptopt={work / 'apt.conf'}"]
    # What nobody reads on a server is not even unpacked.
    argv += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]
    argv += ["--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    argv += [f"--setup-hook={hook}" for hook in _before(cache)]
    argv += [f"--customize-hook={hook}" for hook in _after(recipe, work, cache)]
    if cache:
        argv += ["--skip=download/empty"]
    return [*argv, SUITE, str(output), str(work / "sources")]


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def alone(argv: list[str], needed: Sequence[Path]) -> list[str]:
    """The command, to be run where the host's loop devices are not mounted, except those that hold what is needed.

    mmdebstrap makes itself a private copy of all mounts.  While it runs, a copy would keep the disks of local servers busy.
    """
    held = loop_mounts(Path("/proc/self/mountinfo").read_text(), [path.resolve() for path in needed])
    script = 'while [ "$1" != -- ]; do umount --lazy "$1" 2>/dev/null; shift; done; shift; exec "$@"'
    return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", script, "alone", *held, "--", *argv]


def loop_mounts(mountinfo: str, needed: Sequence[Path]) -> list[str]:
    """Where loop devices are mounted, innermost first; not where one of the paths lies."""
    found = []
    for line in mountinfo.splitlines():
        place, _, source = line.partition(" - ")
        where = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), place.split()[4])
        if source.split()[1].startswith("/dev/loop") and not any(path.is_relative_to(where) for path in needed):
            found.append(where)
    return found[::-1]


def _before(cache: Path | None) -> list[str]:
    # PostgreSQL's package would make a cluster, with a certificate's key, for nobody.
    hooks = [
        f'mkdir -p "$1{Path(UNSAFE_IO).parent}"',
        f'echo force-unsafe-io > "$1{UNSAFE_IO}"',
        'mkdir -p "$1/etc/postgresql-common"',
        'echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"',
    ]
    if cache:
        cache.mkdir(parents=True, exist_ok=True)
        hooks += ['mkdir -p "$1/var/cache/apt/archives"', f"sync-in {shlex.quote(str(cache))} /var/cache/apt/archives"]
    return hooks


def _after(recipe: Recipe, work: Path, cache: Path | None) -> list[str]:
    hooks = []
    if cache:
        hooks += ['rm -rf "$1/var/cache/apt/archives/lock" "$1/var/cache/apt/archives/partial"']
        hooks += [f"sync-out /var/cache/apt/archives {shlex.quote(str(cache))}"]
    hooks += [f'rm -f "$1/etc/resolv.conf" "$1{UNSAFE_IO}"', f'tar -x -C "$1" -f {shlex.quote(str(work / "overlay.tar"))}']
    # Python's own compiled files hold dates, and those of what is unpacked here would be made anew on every server.
    hooks += [
        f'chroot "$1" python3 -m compileall -q --invalidation-mode unchecked-hash /{overlay.RELEASES}',
    ]
    # The shell has to see the patterns, never the host's root: all of them begin below $1.
    hooks += [f'rm -rf "$1"{pattern}' for pattern in (*REMOVE, *recipe.remove)]
    # Empty, not absent: systemd then makes one at the first boot and takes that boot for no other.
    hooks += [': > "$1/etc/machine-id"', 'mkdir -p "$1/var/log/journal"']
    return hooks


def _run(argv: list[str], environment: dict[str, str], say: Say) -> None:
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        lines: list[str] = []
        for line in process.stderr:
            lines = [*lines[-TAIL_LINES:], line.rstrip()]
            if told := re.match(r"I: (?!running --)(.+?)(\.\.\.)?$", line.strip()):
                say(told[1])
    if process.returncode:
        raise CliError(
            "mmdebstrap has failed: " + " | ".join(lines), "the last lines say why; what it needs of apt is this machine's own"
        )
