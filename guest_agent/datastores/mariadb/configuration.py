"""mariadb.cnf for a server of a given size."""

from pathlib import Path


def clamp(value: int, lowest: int, highest: int) -> int:
    return max(lowest, min(value, highest))


def redo_log_mb(ram_mb: int) -> int:
    return clamp(ram_mb // 16, 16, 512)


def render(*, ram_mb: int, address: str, port: int, data: Path, temporary: Path, files: Path, socket: Path) -> str:
    options: dict[str, object] = {
        "datadir": data,
        # Of its own: a server that starts removes every temporary table it finds there, those of others too.
        "tmpdir": temporary,
        "socket": socket,
        "bind-address": address,
        "port": port,
        "skip-name-resolve": 1,
        "character-set-server": "utf8mb4",
        "innodb-buffer-pool-size": f"{ram_mb // 2}M",
        "innodb-log-file-size": f"{redo_log_mb(ram_mb)}M",
        "aria-pagecache-buffer-size": f"{clamp(ram_mb // 32, 8, 128)}M",
        "key-buffer-size": f"{clamp(ram_mb // 64, 8, 128)}M",
        "max-connections": clamp(ram_mb // 5, 50, 2000),
        # A tenant with the FILE privilege reads and writes in an empty directory, not in the server's own files.
        "secure-file-priv": files,
        "local-infile": 0,
        "symbolic-links": 0,
    }
    return "[mariadbd]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())
