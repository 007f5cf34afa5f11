"""`python -S -m guest_agent.boot`: what the image runs at each boot, and again when it fails."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from guest_agent.boot import layout, volume
from guest_agent.boot.settings import BootSettings
from guest_agent.errors import InvalidRequest

BOOT_FILE = "/etc/coffer-guest/boot.json"
SERVER = "/var/lib/coffer-guest"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="guest_agent.boot", description="Make this machine a database server.")
    parser.add_argument("--boot-file", default=BOOT_FILE, help="what the control plane has sent (default: %(default)s)")
    parser.add_argument("--server", default=SERVER, help="directory of the server (default: %(default)s)")
    parser.add_argument("--agent-module", default="guest_agent", help="Python module of the agent (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    place = layout.Place(Path(chosen.server), chosen.agent_module)
    try:
        boot = BootSettings.load(Path(chosen.boot_file))
        layout.write_server(place, boot)
        volume.ensure_mounted(boot.volume_id, place.data)
    except (OSError, InvalidRequest, json.JSONDecodeError, subprocess.CalledProcessError) as error:
        said = error.stderr.decode(errors="replace").strip() if isinstance(error, subprocess.CalledProcessError) else ""
        sys.stderr.write(f"boot: {error} {said}\n")
        return 1
    layout.become_init(place)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
