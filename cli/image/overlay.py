"""The files of ours in an image: the agent as its first release, and the units that boot it."""

import io
import tarfile
from pathlib import Path

from cli.image.recipes import SERVICES, Recipe
from guests.archive import Archive

RELEASES = "opt/coffer-agent"
EPOCH = 1735689600
"""2025-01-01: the date of every file that has no older one, unless SOURCE_DATE_EPOCH says otherwise."""

_BASE = f"Environment=PYTHONPATH=/{RELEASES}/base PYTHONSAFEPATH=1"
_PYTHON = "/usr/bin/python3 -S -m"

NETWORK_UNIT = f"""\
[Unit]
Description=Addresses and host name from the config drive
DefaultDependencies=no
After=local-fs.target systemd-udev-trigger.service
Before=network-pre.target systemd-networkd.service
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
{_BASE}
ExecStartPre=-/usr/bin/udevadm settle --timeout=20
ExecStart={_PYTHON} guest_agent.firstboot network

[Install]
WantedBy=multi-user.target
"""

GUEST_UNIT = f"""\
[Unit]
Description=Coffer database server
Wants=network-online.target
After=network-online.target coffer-network.service
StartLimitIntervalSec=0

[Service]
{_BASE}
ExecStartPre={_PYTHON} guest_agent.firstboot files
ExecStart={_PYTHON} guest_agent.boot
Restart=always
RestartSec=2
TimeoutStartSec=600
# init stops the engine by itself, which takes as long as it takes to be clean.
KillMode=mixed
TimeoutStopSec=330
TasksMax=infinity
LimitNOFILE=1048576
OOMPolicy=continue

[Install]
WantedBy=multi-user.target
"""

DHCP = """\
[Match]
Type=ether

[Network]
DHCP=yes
LLDP=no
"""

ANY_IS_ONLINE = """\
[Service]
ExecStart=
ExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=60
"""

HOSTS = """\
127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
"""

FSTAB = "LABEL=coffer-root / ext4 defaults,noatime,x-systemd.growfs 0 1\n"

GROW_ROOT = """\
[Partition]
Type=root
"""


def files(recipe: Recipe) -> dict[str, str]:
    """Path below the root and content."""
    return {
        "etc/systemd/system/coffer-network.service": NETWORK_UNIT,
        "etc/systemd/system/coffer-guest.service": GUEST_UNIT,
        "etc/systemd/network/80-coffer-dhcp.network": DHCP,
        "etc/systemd/system/systemd-networkd-wait-online.service.d/coffer.conf": ANY_IS_ONLINE,
        "etc/hosts": HOSTS,
        "etc/fstab": FSTAB,
        "etc/repart.d/50-root.conf": GROW_ROOT,
        "etc/coffer-image": f"engine={recipe.engine}\n",
    }


def links(recipe: Recipe, archive: Archive) -> dict[str, str]:
    """Path below the root and target."""
    wanted = "etc/systemd/system/multi-user.target.wants"
    found = {
        f"{RELEASES}/base": archive.release,
        f"{RELEASES}/current": archive.release,
        f"{wanted}/coffer-network.service": "/etc/systemd/system/coffer-network.service",
        f"{wanted}/coffer-guest.service": "/etc/systemd/system/coffer-guest.service",
        f"{wanted}/systemd-networkd.service": "/lib/systemd/system/systemd-networkd.service",
        "etc/systemd/system/network-online.target.wants/systemd-networkd-wait-online.service": (
            "/lib/systemd/system/systemd-networkd-wait-online.service"
        ),
        "etc/resolv.conf": "/run/systemd/resolve/stub-resolv.conf",
    }
    return found | {f"etc/systemd/system/{service}": "/dev/null" for service in (*SERVICES, *recipe.services)}


def write(path: Path, recipe: Recipe, archive: Archive, epoch: int) -> None:
    """A tar archive to be unpacked over the root file system, all of it root's."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as overlay:
        with tarfile.open(fileobj=io.BytesIO(archive.content), mode="r:gz") as release:
            for member in release:
                content = release.extractfile(member)
                assert content is not None
                _add_file(overlay, f"{RELEASES}/{archive.release}/{member.name}", content.read(), epoch)
        for name, text in files(recipe).items():
            _add_file(overlay, name, text.encode(), epoch)
        for name, target in links(recipe, archive).items():
            link = _member(name, epoch, mode=0o777)
            link.type, link.linkname = tarfile.SYMTYPE, target
            overlay.addfile(link)


def _add_file(overlay: tarfile.TarFile, name: str, content: bytes, epoch: int) -> None:
    member = _member(name, epoch)
    member.size = len(content)
    overlay.addfile(member, io.BytesIO(content))


def _member(name: str, epoch: int, mode: int = 0o644) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode, member.mtime, member.uname, member.gname = mode, epoch, "root", "root"
    return member
