"""What the control plane tells a new server: one JSON file, put there by cloud-init (docs/developer/guest-protocol.md, "On the server")."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from guest_agent import fields
from guest_agent.errors import InvalidRequest

PROTOCOL = 1


@dataclass(frozen=True)
class BootSettings:
    """`agent`: settings of the agent as they are, beside those that only the server knows."""

    agent: dict[str, Any]
    address: str
    channel_port: int
    volume_id: str
    authorized_key: str
    host_key: str = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> "BootSettings":
        """Raises InvalidRequest with the field that is wrong."""
        values = fields.take(
            json.loads(path.read_text(encoding="utf-8")),
            path.name,
            required={
                **dict.fromkeys(("address", "volume_id", "authorized_key", "host_key"), fields.text),
                "protocol": fields.integer(PROTOCOL, PROTOCOL),
                "channel_port": fields.integer(1, 65535),
                "agent": fields.json_object,
            },
        )
        del values["protocol"]
        words = values["authorized_key"].split()
        if len(words) < 2 or words[0] != "ssh-ed25519" or "\n" in values["authorized_key"].strip():
            raise InvalidRequest(f"{path.name}.authorized_key is not one Ed25519 public key.")
        return cls(**values)
