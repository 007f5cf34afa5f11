"""The database servers of the embedded cloud, as the commands that run it see them."""

import shutil
from collections.abc import Callable

from cli.statedir import StateDir
from clouds.local import local_cloud, prepare_images
from clouds.local.state import State
from clouds.ports import Cloud, CloudError, ServerStatus


def count(state: StateDir) -> int:
    return len(State(state.cloud).servers.all()) if state.cloud.exists() else 0


def prepare(state: StateDir, say: Callable[[str], None]) -> None:
    """What makes creating quicker; without it everything works all the same."""
    try:
        prepare_images(state.cloud)
    except CloudError as e:
        say(str(e))


def power_on(state: StateDir, say: Callable[[str], None]) -> None:
    """Servers that are off are so because this machine was: bring them back.  One that can't is left for its operations to meet."""
    if not state.cloud.exists():
        return
    compute = local_cloud(state.cloud).compute
    for record in State(state.cloud).servers.all():
        server = compute.show_server(record["key"])
        if server is not None and server.status is ServerStatus.SHUTOFF and record["phase"] != "deleting":
            say(f"powering on the database server at {server.address}")
            try:
                compute.reboot_server(record["key"])
            except CloudError as e:
                say(f"that failed: {e}")


def remove_all(state: StateDir, say: Callable[[str], None]) -> int:
    """Every server, volume and address, then the directory.  Gives the number of servers."""
    removed = _remove_servers(state, say) if state.cloud.exists() else 0
    shutil.rmtree(state.root)
    return removed


def _remove_servers(state: StateDir, say: Callable[[str], None]) -> int:
    cloud: Cloud = local_cloud(state.cloud)
    records = State(state.cloud)
    servers = records.servers.all()
    for server in servers:
        say(f"removing the database server at {server['address']}")
        cloud.compute.delete_server(server["key"])
    for volume in records.volumes.all():
        cloud.volumes.delete_volume(volume["key"])
    for port in records.ports.all():
        cloud.networks.delete_port(port["key"])
    return len(servers)
