"""What a new server is told through its config drive: a #cloud-config with one file for `guest_agent.boot`."""

import base64
import json

from clouds.ports import CloudError, GuestBoot

BOOT_FILE = "/etc/coffer-guest/boot.json"
LARGEST = 65535
"""Nova's limit, in bytes of base64."""


def user_data(boot: GuestBoot, *, address: str, channel_port: int, volume_id: str, engine_address: str | None = None) -> str:
    """base64, as Nova wants it.  Holds the host key and a signature: nobody may log it.

    The channel answers at `address` only, the engine at `engine_address` only; without one the engine answers everywhere.
    """
    engine = {"bind_address": engine_address} if engine_address else {}
    settings = {
        "protocol": 1,
        "agent": {
            "instance_id": boot.instance_id,
            "manager": boot.manager,
            "version": boot.version,
            "ram_mb": boot.ram_mb,
            "telemetry": boot.telemetry and dict(boot.telemetry),
            **engine,
        },
        "address": address,
        "channel_port": channel_port,
        "volume_id": volume_id,
        "authorized_key": boot.authorized_key,
        "host_key": boot.host_key,
    }
    file = {"path": BOOT_FILE, "owner": "root:root", "permissions": "0600", "content": json.dumps(settings)}
    # JSON is YAML.
    text = "#cloud-config\n" + json.dumps({"write_files": [file]})
    encoded = base64.b64encode(text.encode()).decode()
    if len(encoded) > LARGEST:
        raise CloudError("The server's user data is larger than Nova takes.", 400)
    return encoded
