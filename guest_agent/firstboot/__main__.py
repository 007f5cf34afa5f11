"""`python -S -m guest_agent.firstboot network|files`: what the image runs before guest_agent.boot, at each boot."""

import json
import sys
from pathlib import Path

from guest_agent.errors import InvalidRequest
from guest_agent.files import write_durably
from guest_agent.firstboot import configdrive, metadata, network, userdata

PATIENCE = 120.0
BOOT_FILE = "boot.json"


def set_network() -> None:
    """Addresses and host name, before the network is started.  Without a config drive there is DHCP."""
    with configdrive.opened() as drive:
        if drive is None:
            return
        if (drive / "network_data.json").exists():
            network.write(json.loads((drive / "network_data.json").read_text(encoding="utf-8")))
        meta = json.loads((drive / "meta_data.json").read_text(encoding="utf-8"))
    hostname = str(meta.get("hostname", "")).partition(".")[0]
    if hostname.replace("-", "").isalnum() and hostname.isascii() and len(hostname) <= 63:
        Path("/proc/sys/kernel/hostname").write_text(hostname, encoding="ascii")
        write_durably("/etc/hostname", f"{hostname}\n".encode(), mode=0o644)


def fetch_files() -> None:
    """Once in a server's life: what its control plane has to tell it."""
    if (userdata.DIRECTORY / BOOT_FILE).exists():
        return
    with configdrive.opened() as drive:
        given = (drive / "user_data").read_bytes() if drive and (drive / "user_data").exists() else b""
    if BOOT_FILE not in userdata.write_files(given or metadata.user_data(PATIENCE)):
        raise InvalidRequest(f"The user data has no {userdata.DIRECTORY / BOOT_FILE}: this server is not Coffer's.")


TASKS = {"network": set_network, "files": fetch_files}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in TASKS:
        sys.stderr.write("usage: python -S -m guest_agent.firstboot network|files\n")
        return 2
    try:
        TASKS[arguments[0]]()
    except (OSError, InvalidRequest, ValueError, KeyError, TypeError) as error:
        # Of what it could not read only where, never what: a key may be in it.
        said = str(error) if isinstance(error, OSError | InvalidRequest) else type(error).__name__
        sys.stderr.write(f"firstboot {arguments[0]}: {said}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
