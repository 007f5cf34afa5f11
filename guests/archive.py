"""The agent as an archive: everything a guest needs of it beside Python, the same bytes from the same files.

The drivers of the engines are those of this installation, file for file as its package records vouch for them, so what was
checked against the hashes of requirements.lock when Coffer was installed is what guests run.
"""

import ast
import base64
import gzip
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DRIVERS = ("PyMySQL", "psycopg", "redis", "async-timeout", "typing_extensions")
"""Distributions that `guest_agent` imports, and what those import with Debian's Python: pure Python, all of them."""

_TESTS = re.compile(r"(^|/)(tests|__pycache__)/")
_NATIVE = re.compile(r"\.(so|pyd|dylib)$")


class ArchiveError(Exception):
    """This installation cannot give the agent to guests; the message says why."""


@dataclass(frozen=True)
class Archive:
    """`release`: the name under which a guest keeps it.  `packages`: name and version of what is inside."""

    version: str
    protocol: int
    sha256: str
    packages: tuple[tuple[str, str], ...]
    content: bytes = field(repr=False)

    @property
    def release(self) -> str:
        return f"{self.version}-{self.sha256[:12]}"


def build_archive(package: Path | None = None) -> Archive:
    """The archive of `package`, by default of the guest_agent that is installed here.  Raises ArchiveError."""
    package = package or _installed_package()
    numbers = _numbers(package / "__init__.py")
    files = {f"guest_agent/{name}": content for name, content in _sources(package)}
    packages = []
    for name in DRIVERS:
        distribution = importlib.metadata.distribution(name)
        packages.append((distribution.metadata["Name"], distribution.version))
        files |= {f"vendor/{path}": content for path, content in _vouched(distribution)}
    manifest = {
        "version": numbers["__version__"],
        "protocol": numbers["PROTOCOL"],
        "journal": numbers["JOURNAL"],
        "packages": dict(packages),
    }
    files["manifest.json"] = json.dumps(manifest, indent=1, sort_keys=True).encode()
    content = _packed(files)
    digest = hashlib.sha256(content).hexdigest()
    return Archive(str(numbers["__version__"]), int(numbers["PROTOCOL"]), digest, tuple(packages), content)


def _installed_package() -> Path:
    found = importlib.util.find_spec("guest_agent")
    if found is None or not found.submodule_search_locations:
        raise ArchiveError("The package guest_agent is not installed.")
    return Path(found.submodule_search_locations[0]).resolve()


def _numbers(init: Path) -> dict[str, str | int]:
    """What the package says of itself, read and not run."""
    tree = ast.parse(init.read_text(encoding="utf-8"))
    numbers = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            numbers[statement.targets[0].id] = ast.literal_eval(statement.value)
    missing = {"__version__", "PROTOCOL", "JOURNAL"} - set(numbers)
    if missing:
        raise ArchiveError(f"{init} does not say its {', '.join(sorted(missing))}.")
    return numbers


def _sources(package: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package).as_posix()
        if path.is_file() and not _TESTS.search(name):
            yield name, path.read_bytes()


def _vouched(distribution: importlib.metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    """The modules of a distribution, each as its RECORD says it is."""
    name = distribution.metadata["Name"]
    for path in distribution.files or ():
        if not path.name.endswith((".py", ".typed")) and not _NATIVE.search(path.name):
            continue
        if ".." in path.parts or _TESTS.search(path.as_posix()):
            continue
        if _NATIVE.search(path.name):
            raise ArchiveError(f"{name} has {path}, which runs on one kind of machine only.")
        content = Path(str(distribution.locate_file(path))).read_bytes()
        if path.hash is None or _record_digest(content, path.hash.mode) != path.hash.value:
            raise ArchiveError(f"{path} of {name} is not what was installed: install {name} anew.")
        yield path.as_posix(), content


def _record_digest(content: bytes, algorithm: str) -> str:
    digest = hashlib.new(algorithm, content).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _packed(files: dict[str, bytes]) -> bytes:
    plain, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(files[name]), 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0, filename="") as zipped:
        zipped.write(plain.getvalue())
    return packed.getvalue()
