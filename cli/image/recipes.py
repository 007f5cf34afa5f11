"""What is in the image of each engine."""

from dataclasses import dataclass

SUITE = "bookworm"

SYSTEM = (
    "systemd-sysv",
    "systemd-resolved",
    "udev",
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "iproute2",
    "e2fsprogs",
    "openssh-server",
    "python3",
    "ca-certificates",
)
"""Of every image.  cloud-init is not among them: docs/adr/0006-guest-image.md."""


@dataclass(frozen=True)
class Recipe:
    """`packages`: the engine's, whose first names its version.  `remove`: what their installation made that differs from server
    to server, or that the agent makes itself.  `services`: the packages' own, which never run: the agent starts the engine.
    `version_parts`: how much of the engine's number is its version to tenants."""

    engine: str
    packages: tuple[str, ...]
    remove: tuple[str, ...]
    services: tuple[str, ...]
    version_parts: int = 2
    min_disk_gb: int = 2


RECIPES = {
    recipe.engine: recipe
    for recipe in (
        Recipe("mariadb", ("mariadb-server", "mariadb-backup"), ("/var/lib/mysql/*",), ("mariadb.service",)),
        Recipe(
            "postgresql",
            ("postgresql-15",),
            (
                "/var/lib/postgresql/15/main",
                "/etc/postgresql/15/main",
                "/etc/ssl/private/ssl-cert-snakeoil.key",
                "/etc/ssl/certs/ssl-cert-snakeoil.pem",
            ),
            ("postgresql.service",),
            version_parts=1,
        ),
        Recipe("redis", ("redis-server",), (), ("redis-server.service",)),
    )
}

REMOVE = (
    "/etc/ssh/ssh_host_*",
    "/etc/machine-id",
    "/var/lib/dbus/machine-id",
    "/etc/hostname",
    "/etc/.resolv.conf.*",
    "/etc/.pwd.lock",
    "/var/lib/systemd/random-seed",
    "/var/lib/systemd/credential.secret",
    "/var/log/*",
    "/var/cache/*",
    "/var/lib/apt/*",
    "/var/backups/*",
    "/var/lib/dpkg/*-old",
    "/var/lib/dpkg/lock*",
    "/etc/passwd-",
    "/etc/group-",
    "/etc/shadow-",
    "/etc/gshadow-",
    "/root/.*history",
    "/tmp/*",  # noqa: S108
    "/var/tmp/*",  # noqa: S108
)
"""Of every image, at the end: whatever identifies a machine, and what only was of use while it was made."""

SERVICES = (
    "ssh.service",
    "ssh.socket",
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
)
"""Of every image, never run: the only sshd is the guest channel's."""
