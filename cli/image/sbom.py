"""What is in an image, as CycloneDX 1.5 JSON: Debian's packages and the agent's, each with its version."""

import json
import tarfile
import uuid
from pathlib import Path
from typing import Any

from cli.errors import CliError
from cli.image.recipes import SUITE
from guests.archive import Archive

STATUS = "./var/lib/dpkg/status"
Component = dict[str, Any]


def describe(rootfs: Path, archive: Archive, sha256: str, name: str) -> dict[str, Any]:
    """The same for the same image: its serial number comes from the digest."""
    components = [*debian_packages(rootfs), *agent_packages(archive)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, sha256)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "operating-system",
                "name": name,
                "version": archive.release,
                "hashes": [{"alg": "SHA-256", "content": sha256}],
            }
        },
        "components": sorted(components, key=lambda component: component["purl"]),
    }


def debian_packages(rootfs: Path) -> list[Component]:
    with tarfile.open(rootfs) as archive:
        status = archive.extractfile(_member(archive, STATUS))
        assert status is not None
        text = status.read().decode(errors="replace")
    found = []
    for stanza in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line.startswith(" "))
        if fields.get("Status") == "install ok installed":
            package, version, kind = fields["Package"], fields["Version"], fields["Architecture"]
            purl = f"pkg:deb/debian/{package}@{version.replace(':', '%3A').replace('+', '%2B')}?arch={kind}&distro={SUITE}"
            found.append({"type": "library", "name": package, "version": version, "purl": purl})
    return found


def agent_packages(archive: Archive) -> list[Component]:
    drivers = [
        {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:{'py' + 'pi'}/{name.lower().replace('_', '-')}@{version}",
        }
        for name, version in archive.packages
    ]
    agent = {
        "type": "application",
        "name": "coffer-guest-agent",
        "version": archive.version,
        "purl": f"pkg:generic/coffer-guest-agent@{archive.version}?checksum=sha256:{archive.sha256}",
    }
    return [agent, *drivers]


def version_of(components: list[Component], package: str) -> str:
    """The engine's own version: Debian's without epoch and revision.  Raises CliError."""
    for component in components:
        if component["name"] == package:
            upstream = str(component["version"]).partition(":")[2] or str(component["version"])
            return upstream.partition("-")[0].partition("+")[0]
    raise CliError(f"the image has no package {package}", "build it anew")


def write(document: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n")


def _member(archive: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    for member in archive:
        if member.name in (name, name.removeprefix("./")):
            return member
    raise CliError("the root file system has no list of its packages", "build it anew")
