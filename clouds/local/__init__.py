"""The embedded cloud: servers are directories, loopback addresses and processes of this host.

It is for laptops, CI and demonstrations.  A server is no security boundary: its processes run on the host, and as root its
engine runs as the engine's own account.  A volume's size is enforced by a mounted disk image where the host allows that (root with loop
devices); elsewhere only by a limit on the size of a single file (RLIMIT_FSIZE), which many files together can exceed.

Servers outlive the process that made them.  After a reboot of the host they are SHUTOFF, and `reboot_server` brings them back.
"""

import sys
from pathlib import Path

from clouds.local import images
from clouds.local.absent import NoAccess, NoServerGroups
from clouds.local.layout import Programs, login_name
from clouds.local.names import LocalNames
from clouds.local.networks import LocalNetworks
from clouds.local.objects import LocalObjects
from clouds.local.servers import LocalCompute
from clouds.local.state import State
from clouds.local.volumes import LocalVolumes
from clouds.objects import UrlRules
from clouds.ports import Cloud


def local_cloud(
    directory: Path,
    *,
    python: str = sys.executable,
    agent_module: str = "guest_agent",
    ssh_port: int = 2222,
    urls: UrlRules | None = None,
) -> Cloud:
    """The cloud whose whole state is in `directory`, which is made if need be; keep its path short."""
    directory.mkdir(parents=True, exist_ok=True)
    state = State(directory)
    return Cloud(
        networks=LocalNetworks(state, ssh_port),
        volumes=LocalVolumes(state),
        compute=LocalCompute(state, Programs(python, agent_module), ssh_port),
        access=NoAccess(),
        groups=NoServerGroups(),
        objects=LocalObjects(state, urls or UrlRules()),
        names=LocalNames(state),
        guest_login=login_name(),
    )


def prepare_images(directory: Path, *, python: str = sys.executable) -> None:
    """Once per cloud and version of an engine: what its servers then need not make one by one.  Raises CloudError."""
    directory.mkdir(parents=True, exist_ok=True)
    images.prepare(State(directory), Programs(python, "guest_agent"))
