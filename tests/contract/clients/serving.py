"""The API behind a real gunicorn on loopback, with rows but without Temporal."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from models import Base, Database, Instance, InstanceState
from tests.api.stand import PASSWORDS, PROJECTS, configured, seed

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Served:
    url: str
    clouds: Path
    database: Database
    log: Path
    pid: int
    """Of gunicorn's master; its children serve."""

    def built(self, instance_id: str) -> None:
        """As if its operation had ended well."""
        with self.database.write() as s:
            instance = s.get_one(Instance, instance_id)
            instance.state, instance.operation_id, instance.server_key = InstanceState.READY, None, "server"
            instance.addresses = [{"address": "127.0.0.9", "type": "private", "network": None}]


@contextmanager
def serving(directory: Path) -> Iterator[Served]:
    url = f"sqlite:///{directory}/coffer.db"
    config_file = configured(directory, url)
    with config_file.open("a") as f:
        f.write("[temporal]\naddress = 127.0.0.1:1\n")
    database = Database(url)
    Base.metadata.create_all(database.engine)
    seed(database)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening, (directory / "api.log").open("w") as log:
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "--bind", f"fd://{listening.fileno()}"),
                *(
                    "--worker-class",
                    "api.serving.Worker",
                    "--threads",
                    "4",
                    "--workers",
                    "2",
                    "--no-control-socket",
                    "api.app:from_config()",
                ),
            ],
            cwd=ROOT,
            pass_fds=[listening.fileno()],
            stdout=log,
            stderr=log,
            env={**os.environ, "COFFER_CONFIG": str(config_file)},
        )
        try:
            yield Served(base, write_clouds(directory, base), database, directory / "api.log", process.pid)
        finally:
            process.terminate()
            process.wait(30)
            database.close()


def write_clouds(directory: Path, base: str) -> Path:
    clouds = {
        name: {
            "auth_type": "password",
            "auth": {
                "auth_url": f"{base}/identity/v3",
                "username": name,
                "password": PASSWORDS[name],
                "project_name": f"project-{name}",
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
            "region_name": "RegionOne",
        }
        for name in PROJECTS
    }
    path = directory / "clouds.yaml"
    path.write_text(yaml.safe_dump({"clouds": clouds}))
    return path
