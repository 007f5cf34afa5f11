"""postgresql.conf, pg_hba.conf and pg_ident.conf for a server of a given size."""

from pathlib import Path

ADMIN_MAP = "agent"


def clamp(value: int, lowest: int, highest: int) -> int:
    return max(lowest, min(value, highest))


def quoted(value: object) -> str:
    return "'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"


def render(*, ram_mb: int, address: str, port: int, socket_dir: Path, hba_file: Path, ident_file: Path) -> str:
    options: dict[str, object] = {
        "listen_addresses": address,
        "port": port,
        "unix_socket_directories": socket_dir,
        "unix_socket_permissions": "0700",
        "hba_file": hba_file,
        "ident_file": ident_file,
        "password_encryption": "scram-sha-256",
        "max_connections": clamp(ram_mb // 5, 50, 1000),
        "shared_buffers": f"{ram_mb // 4}MB",
        "effective_cache_size": f"{ram_mb // 2}MB",
        "maintenance_work_mem": f"{clamp(ram_mb // 16, 16, 1024)}MB",
        "max_wal_size": f"{clamp(ram_mb, 256, 4096)}MB",
        # A statement that failed may hold a password, and the log is shown to people.
        "log_min_error_statement": "panic",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    return "".join(f"{name} = {quoted(value)}\n" for name, value in options.items())


def render_hba(admin: str) -> str:
    """The agent over the socket, tenants over the network with a password, nobody else."""
    rules = [
        f"local all {admin} peer map={ADMIN_MAP}",
        "local all all reject",
        f"host all {admin} all reject",
        "host all all all scram-sha-256",
    ]
    return "".join(f"{rule}\n" for rule in rules)


def render_ident(agent_account: str, admin: str) -> str:
    return f'{ADMIN_MAP} "{agent_account}" {admin}\n'
