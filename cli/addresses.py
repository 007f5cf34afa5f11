"""Where the control plane of a state directory answers, now or the last time."""

import configparser

from cli.ports import Ports
from cli.statedir import LOOPBACK, StateDir


def api_url(host: str, ports: Ports) -> str:
    return f"http://{_in_url(host)}:{ports.api}"


def temporal_address(host: str, ports: Ports) -> str:
    return f"{_in_url(host)}:{ports.temporal}"


def ui_url(host: str, ports: Ports) -> str:
    return f"http://{_in_url(host)}:{ports.ui}"


def ports_before(state: StateDir) -> Ports | None:
    """The ports of the last time, or None for a new directory."""
    if not state.exists():
        return None
    conf = read_config(state)
    try:
        api = conf.getint("api", "bind_port")
        temporal = int(conf.get("temporal", "address").rpartition(":")[2])
        ui = int(conf.get("temporal", "ui_url").rpartition(":")[2])
    except (configparser.Error, ValueError):
        return None
    return Ports(api, temporal, ui)


def host_before(state: StateDir) -> str:
    """The address that it listened on the last time."""
    return read_config(state).get("api", "bind_host", fallback=LOOPBACK)


def read_config(state: StateDir) -> configparser.RawConfigParser:
    # To oslo.config, DEFAULT is a section like the others, and one that is there twice is one.
    conf = configparser.RawConfigParser(default_section="\0", strict=False)
    conf.read(state.config)
    return conf


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
