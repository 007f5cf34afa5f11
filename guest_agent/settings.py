"""The agent's settings: SERVER/agent.json."""

import json
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from guest_agent import fields
from guest_agent.telemetry import addresses
from guest_agent.telemetry.addresses import Destination


@dataclass(frozen=True)
class Settings:
    instance_id: str
    manager: str
    version: str
    ram_mb: int
    bind_address: str
    port: int | None
    data_dir: Path
    state_dir: Path
    run_dir: Path
    log_dir: Path
    socket: Path
    init_socket: Path
    engine_user: str | None
    template_dir: Path | None = None
    telemetry: Destination | None = None
    ca_file: str | None = None
    releases_dir: Path | None = None

    @classmethod
    def load(cls, path: str) -> "Settings":
        values = fields.take(
            json.loads(Path(path).read_text(encoding="utf-8")),
            "agent.json",
            required={
                **dict.fromkeys(("instance_id", "manager", "version", "bind_address"), fields.text),
                **dict.fromkeys(("data_dir", "state_dir", "run_dir", "log_dir", "socket", "init_socket"), fields.text),
                "ram_mb": fields.integer(64, 1 << 24),
            },
            optional={
                "port": fields.integer(1, 65535),
                "engine_user": fields.text,
                "template_dir": fields.text,
                "telemetry": addresses.destination,
                "ca_file": fields.text,
                "releases_dir": fields.text,
            },
        )
        for name in ("data_dir", "state_dir", "run_dir", "log_dir", "socket", "init_socket"):
            values[name] = Path(values[name])
        for name in ("template_dir", "releases_dir"):
            if values[name]:
                values[name] = Path(values[name])
        return cls(**values)

    def engine_account(self, usual: str) -> str | None:
        """The account the engine runs as, or None when the agent is not root and so cannot become another."""
        return (self.engine_user or usual) if os.geteuid() == 0 else None


def own_account() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name
