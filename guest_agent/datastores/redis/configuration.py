"""redis.conf for a server of a given size."""

from pathlib import Path

# The rest is for the copy-on-write pages of a fork that rewrites the append-only file, and for the system.
MEMORY_SHARE = 0.6


def quoted(value: object) -> str:
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def render(*, ram_mb: int, address: str, port: int, data: Path, acl_file: Path, socket: Path) -> str:
    options: dict[str, object] = {
        "bind": address,
        "port": port,
        "unixsocket": socket,
        "unixsocketperm": "700",
        "dir": data,
        "aclfile": acl_file,
        "appendonly": "yes",
        "save": "",
        "maxmemory": f"{int(ram_mb * MEMORY_SHARE)}mb",
        "maxmemory-policy": "noeviction",
        # Nobody gets in without a password: the default user is off until root is enabled.
        "protected-mode": "no",
        "supervised": "systemd",
        "daemonize": "no",
    }
    return "".join(f"{name} {quoted(value)}\n" for name, value in options.items())
