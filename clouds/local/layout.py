"""What a server's directory holds before it starts (docs/developer/guest-protocol.md, "On the server")."""

import importlib.util
import json
import os
import pwd
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from clouds.local.state import write_durably
from clouds.ports import CloudError, GuestBoot

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SOCKET_PATH_LIMIT = 107
LONGEST_SOCKET = "run/db/.s.PGSQL.65535"
PRIVILEGE_SEPARATION_DIRECTORY = Path("/run/sshd")


@dataclass(frozen=True)
class Programs:
    """How a server's own processes are started."""

    python: str
    agent_module: str

    @property
    def package_root(self) -> Path:
        found = importlib.util.find_spec("guest_agent")
        if found is None or not found.submodule_search_locations:
            raise CloudError("The package guest_agent is not installed.", 500)
        return Path(found.submodule_search_locations[0]).resolve().parent

    def environment(self) -> dict[str, str]:
        return {
            "PATH": SEARCH_PATH,
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(self.package_root),
            "PYTHONSAFEPATH": "1",
        }


@dataclass(frozen=True)
class Place:
    """Where a server lives: its directory, its volume's directory, its address; and where its image keeps templates."""

    root: Path
    data: Path
    address: str
    ssh_port: int
    templates: Path

    def check(self) -> None:
        longest = str(self.root / LONGEST_SOCKET)
        if len(os.fsencode(longest)) > SOCKET_PATH_LIMIT:
            raise CloudError(
                f"The path {longest} is longer than the {SOCKET_PATH_LIMIT} bytes of a Unix socket's: use a shorter state directory.",
                400,
            )
        if any(character in '"\\' or character.isspace() for character in str(self.root)):
            raise CloudError(f"The path {self.root} has a space, quote or backslash in it: use another state directory.", 400)


def write_server(place: Place, boot: GuestBoot, programs: Programs) -> None:
    """Everything a start needs; may be repeated."""
    root = place.root
    root.mkdir(mode=0o755, exist_ok=True)
    for name, mode in (("run", 0o755), ("run/db", 0o755), ("log", 0o755), ("units", 0o700), ("state", 0o700)):
        (root / name).mkdir(mode=mode, exist_ok=True)
    _link_releases(root / "releases", programs)
    write_durably(root / "agent.json", json.dumps(_agent_settings(place, boot), indent=1), 0o600)
    write_durably(root / "host_key", boot.host_key.rstrip("\n") + "\n", 0o600)
    write_durably(root / "authorized_keys", _authorized_key(root, boot.authorized_key, programs.python), 0o600)
    write_durably(root / "sshd_config", _sshd_config(place, programs), 0o600)
    for name, unit in (("agent", _agent_unit(root, programs)), ("sshd", _sshd_unit(root))):
        write_durably(root / "units" / f"{name}.json", json.dumps(unit, indent=1), 0o600)


def _link_releases(releases: Path, programs: Programs) -> None:
    """The agent's first release is this host's own; an upgrade leads `current` elsewhere, which stays."""
    releases.mkdir(mode=0o755, exist_ok=True)
    for name in ("base", "current"):
        if not (releases / name).is_symlink():
            (releases / name).symlink_to(programs.package_root)


def login_name() -> str:
    """Whom the control plane logs in as: the account that everything here runs under."""
    return pwd.getpwuid(os.geteuid()).pw_name


def _agent_settings(place: Place, boot: GuestBoot) -> dict[str, object]:
    root = place.root
    return {
        "instance_id": boot.instance_id,
        "manager": boot.manager,
        "version": boot.version,
        "ram_mb": boot.ram_mb,
        "bind_address": place.address,
        "port": None,
        "data_dir": str(place.data),
        "state_dir": str(root / "state"),
        "run_dir": str(root / "run/db"),
        "log_dir": str(root / "log"),
        "socket": str(root / "run/agent.sock"),
        "init_socket": str(root / "run/init.sock"),
        "engine_user": None,
        "releases_dir": str(root / "releases"),
        "template_dir": str(place.templates),
        "telemetry": boot.telemetry and dict(boot.telemetry),
        "ca_file": None,
    }


def _agent_unit(root: Path, programs: Programs) -> dict[str, object]:
    return {
        "argv": [programs.python, "-m", programs.agent_module, str(root / "agent.json")],
        # An agent module that is no part of any release is found where this host has it.
        "env": {
            **programs.environment(),
            "PYTHONPATH": f"{root}/releases/current:{root}/releases/current/vendor:{programs.package_root}",
        },
        "stop_timeout": 10,
        "log": str(root / "log/agent.log"),
    }


def _sshd_unit(root: Path) -> dict[str, object]:
    # sshd executes itself anew for each connection and insists on its absolute path.
    sshd = shutil.which("sshd", path=SEARCH_PATH)
    if sshd is None:
        raise CloudError("sshd is not installed (Debian: openssh-server).", 500)
    if os.geteuid() == 0:
        PRIVILEGE_SEPARATION_DIRECTORY.mkdir(mode=0o755, exist_ok=True)
    return {"argv": [sshd, "-D", "-e", "-f", str(root / "sshd_config")], "stop_timeout": 5, "log": str(root / "log/sshd.log")}


def _sshd_config(place: Place, programs: Programs) -> str:
    template = (programs.package_root / "guest_agent/boot/sshd_config.template").read_text(encoding="ascii")
    return template.format(
        address=place.address,
        port=place.ssh_port,
        root=place.root,
        user=login_name(),
        use_pam="yes" if _is_locked(login_name()) else "no",
    )


def _authorized_key(root: Path, key: str, python: str) -> str:
    words = key.split()
    if len(words) < 2 or words[0] != "ssh-ed25519" or "\n" in key.strip():
        raise CloudError("The authorized key is not one Ed25519 public key.", 400)
    channel = root / "releases/current/guest_agent/channel.py"
    command = shlex.join([python, "-I", "-S", str(channel), str(root / "run/agent.sock")])
    quoted = command.replace("\\", "\\\\").replace('"', '\\"')
    return f'restrict,command="exec {quoted}" {words[0]} {words[1]}\n'


def _is_locked(user: str) -> bool:
    """Without PAM, sshd lets nobody in whose password is locked with `!`, key or not."""
    try:
        lines = Path("/etc/shadow").read_text(encoding="utf-8", errors="replace").splitlines()
    except (PermissionError, FileNotFoundError):
        return False
    return any(line.startswith(f"{user}:!") for line in lines)
