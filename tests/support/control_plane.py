"""API and worker started by hand, as an operator does, on an OpenStack: SQLite, a Temporal dev server, the development identity."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from messaging.service import Messaging
from models import Base, Database, Datastore, DatastoreVersion, FlavorRow
from models.messaging import MessagingCounter
from security import keyring
from tests.api.stand import configured
from tests.contract.clients.serving import write_clouds
from tests.support.openstack_world import cloud_options, guest_command
from tests.support.testbed import Bed
from tests.support.world import ROOT, Temporal

VERSIONS = {"mariadb": "10.11", "postgresql": "15", "redis": "7.0"}
SERVE = ("--worker-class", "api.serving.Worker", "--threads", "8", "--no-control-socket", "api.app:from_config()")
ENDS_WITHIN = 30


@dataclass(frozen=True)
class ControlPlane:
    api: str
    clouds: Path
    database: Database
    directory: Path


@contextmanager
def control_plane(directory: Path, bed: Bed, **cloud: object) -> Iterator[ControlPlane]:
    """`cloud`: more options of [cloud].  Clouds alpha, beta and admin of its clouds.yaml are tenants and an administrator."""
    with ExitStack() as stack:
        temporal = Temporal()
        stack.callback(temporal.close)
        config_file = _configured(directory, bed, temporal.address, cloud)
        database = Database(f"sqlite:///{directory}/coffer.db")
        stack.callback(database.close)
        Base.metadata.create_all(database.engine)
        _catalogue(database, bed)
        _message_store(database, directory)
        listening = stack.enter_context(socket.create_server(("127.0.0.1", bed.api_port), backlog=64))
        base = f"http://127.0.0.1:{bed.api_port}"
        serve = ["-m", "gunicorn", "--bind", f"fd://{listening.fileno()}", *SERVE]
        stack.enter_context(_running(directory, "api", serve, config_file, (listening.fileno(),)))
        stack.enter_context(_running(directory, "worker", ["worker.py", "--config", str(config_file)], config_file))
        yield ControlPlane(base, write_clouds(directory, base), database, directory)


def _configured(directory: Path, bed: Bed, temporal: str, cloud: dict[str, object]) -> Path:
    config_file = configured(directory, f"sqlite:///{directory}/coffer.db", guest_deadline=15)
    text = config_file.read_text().replace("instances = 5", "instances = 100").replace("volumes = 40", "volumes = 100")
    more = f"[temporal]\naddress = {temporal}\nactivity_threads = 64\n"
    more += f"[telemetry]\nendpoint = http://127.0.0.1:{bed.api_port}/messaging\nperiod = 2\n"
    config_file.write_text(f"{text}{more}{cloud_options(bed, **cloud)}")
    return config_file


def _message_store(database: Database, directory: Path) -> None:
    with database.write() as s:
        s.add_all([MessagingCounter(name="generation", value=0), MessagingCounter(name="placement", value=0)])
    messaging = Messaging(database, keyring.load(directory / "keyring.json"))
    messaging.pools.put("default", {"uri": f"sqlite:///{directory}/messages.db", "weight": 1})
    messaging.close()


def _catalogue(database: Database, bed: Bed) -> None:
    image_id = bed.image("guest_agent", guest_command("guest_agent"))
    with database.write() as s:
        s.add(FlavorRow(id=bed.flavor_id, name="tiny", ram_mb=512, vcpus=1, disk_gb=1))
        for engine, number in VERSIONS.items():
            datastore = Datastore(id=f"ds-{engine}", name=engine, default_version_id=f"version-{engine}")
            s.add(datastore)
            s.flush()
            version = {"name": number, "version": number, "manager": engine, "image_id": image_id}
            s.add(DatastoreVersion(id=f"version-{engine}", datastore_id=datastore.id, **version))


@contextmanager
def _running(directory: Path, name: str, words: list[str], config_file: Path, fds: tuple[int, ...] = ()) -> Iterator[None]:
    with (directory / f"{name}.log").open("w") as log:
        environment = {**os.environ, "COFFER_CONFIG": str(config_file)}
        process = subprocess.Popen([sys.executable, *words], cwd=ROOT, pass_fds=fds, stdout=log, stderr=log, env=environment)
        try:
            yield
        finally:
            process.terminate()
            process.wait(ENDS_WITHIN)
