"""What a server's directory holds before its init starts (docs/developer/guest-protocol.md, "On the server")."""

import json
import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import guest_agent
from guest_agent.boot.settings import BootSettings
from guest_agent.files import write_durably
from guest_agent.upgrade.releases import BASE, CURRENT, VENDOR, release_of

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGE = Path(guest_agent.__file__).resolve().parent
PRIVILEGE_SEPARATION_DIRECTORY = Path("/run/sshd")
LOGIN = "root"


@dataclass(frozen=True)
class Place:
    """The server's directory and the programs of its image."""

    root: Path
    agent_module: str = "guest_agent"
    python: str = sys.executable

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def releases(self) -> Path:
        """An image's, where this program is one of them; else the server's own, with what runs here as the first."""
        return PACKAGE.parent.parent if release_of(PACKAGE.parent) else self.root / "releases"

    def environment(self) -> dict[str, str]:
        return {"PATH": SEARCH_PATH, "LANG": "C.UTF-8", "PYTHONPATH": str(PACKAGE.parent), "PYTHONSAFEPATH": "1"}


def write_server(place: Place, boot: BootSettings) -> None:
    """Everything init needs, the same at every boot."""
    root = place.root
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    for name, mode in (("run", 0o755), ("run/db", 0o755), ("log", 0o755), ("units", 0o700), ("state", 0o700)):
        (root / name).mkdir(mode=mode, exist_ok=True)
    for stale in ("init.pid", "init.sock"):
        (root / "run" / stale).unlink(missing_ok=True)
    PRIVILEGE_SEPARATION_DIRECTORY.mkdir(mode=0o755, exist_ok=True)
    _link_releases(place.releases)
    _write(root / "agent.json", json.dumps(_agent_settings(place, boot), indent=1))
    _write(root / "host_key", boot.host_key.rstrip("\n") + "\n")
    _write(root / "authorized_keys", _authorized_key(place, boot.authorized_key))
    _write(root / "sshd_config", _sshd_config(place, boot))
    _write(root / "units/agent.json", json.dumps(_agent_unit(place), indent=1))
    _write(root / "units/sshd.json", json.dumps(_sshd_unit(place), indent=1))


def _link_releases(releases: Path) -> None:
    """An upgrade leads `current` elsewhere, which stays."""
    releases.mkdir(mode=0o755, exist_ok=True)
    for name in (BASE, CURRENT):
        if not (releases / name).is_symlink():
            (releases / name).symlink_to(PACKAGE.parent)


def _write(path: Path, text: str) -> None:
    write_durably(str(path), text.encode())


def _agent_settings(place: Place, boot: BootSettings) -> dict[str, object]:
    root = place.root
    return {
        "bind_address": "0.0.0.0",  # noqa: S104  (the server's networks are its own; security groups say who gets in)
        "port": None,
        "data_dir": str(place.data),
        "state_dir": str(root / "state"),
        "run_dir": str(root / "run/db"),
        "log_dir": str(root / "log"),
        "socket": str(root / "run/agent.sock"),
        "init_socket": str(root / "run/init.sock"),
        "engine_user": None,
        "releases_dir": str(place.releases),
        **boot.agent,
    }


def _agent_unit(place: Place) -> dict[str, object]:
    search = f"{place.releases}/{CURRENT}:{place.releases}/{CURRENT}/{VENDOR}"
    return {
        "argv": [place.python, "-m", place.agent_module, str(place.root / "agent.json")],
        "env": {**place.environment(), "PYTHONPATH": search},
        "stop_timeout": 10,
        "log": str(place.root / "log/agent.log"),
    }


def _sshd_unit(place: Place) -> dict[str, object]:
    # sshd executes itself anew for each connection and insists on its absolute path.
    sshd = shutil.which("sshd", path=SEARCH_PATH) or "/usr/sbin/sshd"
    argv = [sshd, "-D", "-e", "-f", str(place.root / "sshd_config")]
    return {"argv": argv, "stop_timeout": 5, "log": str(place.root / "log/sshd.log")}


def _sshd_config(place: Place, boot: BootSettings) -> str:
    template = (PACKAGE / "boot/sshd_config.template").read_text(encoding="ascii")
    address = f"[{boot.address}]" if ":" in boot.address else boot.address
    use_pam = "yes" if _is_locked(LOGIN) else "no"
    return template.format(address=address, port=boot.channel_port, root=place.root, user=LOGIN, use_pam=use_pam)


def _authorized_key(place: Place, key: str) -> str:
    kind, public = key.split()[:2]
    channel = place.releases / CURRENT / "guest_agent/channel.py"
    command = shlex.join([place.python, "-I", "-S", str(channel), str(place.root / "run/agent.sock")])
    quoted = command.replace("\\", "\\\\").replace('"', '\\"')
    return f'restrict,command="exec {quoted}" {kind} {public}\n'


def _is_locked(user: str) -> bool:
    """Without PAM, sshd lets nobody in whose password is locked with `!`, key or not."""
    lines = Path("/etc/shadow").read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.startswith(f"{user}:!") for line in lines)


def become_init(place: Place) -> None:
    environment = place.environment() | {"COFFER_SERVER": str(place.root)}
    os.execve(place.python, [place.python, "-S", "-m", "guest_agent.init", str(place.root)], environment)  # noqa: S606  (no shell)
