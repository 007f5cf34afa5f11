"""API and worker started by hand, as an operator does, on an OpenStack: SQLite, a Temporal dev server, tokens and catalog of Keystone."""

import ipaddress
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from messaging.service import Messaging
from models import Base, Database, Datastore, DatastoreVersion, FlavorRow
from models.messaging import MessagingCounter
from security import keyring
from tests.api.stand import configured
from tests.support.openstack_world import cloud_options, guest_command
from tests.support.stack import coffer
from tests.support.testbed import CIDR, Bed
from tests.support.world import ROOT, Temporal

VERSIONS = {"mariadb": "10.11", "postgresql": "15", "redis": "7.0"}
SERVE = ("--worker-class", "api.serving.Worker", "--threads", "8", "--no-control-socket", "api.app:from_config()")
ENDS_WITHIN = 30
IP_FREEBIND = 15
"""Of Linux: the address may come later.  The guests' gateway is there as long as a guest is."""
GATEWAY = str(next(ipaddress.ip_network(CIDR).hosts()))


@dataclass(frozen=True)
class ControlPlane:
    api: str
    database: Database
    directory: Path

    @property
    def api_log(self) -> str:
        return (self.directory / "api.log").read_text()


@contextmanager
def control_plane(directory: Path, bed: Bed, *, options: str = "", **cloud: object) -> Iterator[ControlPlane]:
    """`options`: more of the configuration file, beginning with a group.  `cloud`: more options of [cloud].

    Tenants find the API in the catalog; guests report to it on their network's gateway.
    """
    with ExitStack() as stack:
        temporal = Temporal()
        stack.callback(temporal.close)
        config_file = _configured(directory, bed, temporal.address, cloud)
        config_file.write_text(config_file.read_text() + options)
        database = Database(f"sqlite:///{directory}/coffer.db")
        stack.callback(database.close)
        Base.metadata.create_all(database.engine)
        _catalogue(database, bed)
        _message_store(database, directory)
        listening = tuple(stack.enter_context(_listening(address, bed.api_port)).fileno() for address in ("127.0.0.1", GATEWAY))
        serve = ["-m", "gunicorn", *(word for fd in listening for word in ("--bind", f"fd://{fd}")), *SERVE]
        stack.enter_context(_running(directory, "api", serve, config_file, listening))
        stack.enter_context(_running(directory, "worker", ["worker.py", "--config", str(config_file)], config_file))
        stack.enter_context(announced(config_file, bed.operator))
        yield ControlPlane(_base(bed), database, directory)


@contextmanager
def announced(config_file: Path, operator: Any) -> Iterator[None]:
    """In the catalog for the length of the block; what an earlier run has left there goes first."""

    def withdraw() -> None:
        for service in operator.identity.services():
            if service.type in ("database", "messaging"):
                operator.identity.delete_service(service)

    withdraw()
    try:
        made = coffer("openstack", "bootstrap", "--config", str(config_file), timeout=300)
        assert made.returncode == 0, made.stdout + made.stderr
        yield
    finally:
        withdraw()


def _base(bed: Bed) -> str:
    return f"http://127.0.0.1:{bed.api_port}"


def _listening(address: str, port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
    made.bind((address, port))
    made.listen(64)
    return made


def _configured(directory: Path, bed: Bed, temporal: str, cloud: dict[str, object]) -> Path:
    config_file = configured(directory, f"sqlite:///{directory}/coffer.db", guest_deadline=15, public_endpoint=_base(bed))
    text = config_file.read_text().replace("instances = 5", "instances = 100").replace("volumes = 40", "volumes = 100")
    text = text.replace("[auth]\n", "[auth]\nstrategy = keystone\n")
    more = f"[temporal]\naddress = {temporal}\nactivity_threads = 64\n"
    more += f"[telemetry]\nendpoint = http://{GATEWAY}:{bed.api_port}/messaging\nperiod = 2\n"
    config_file.write_text(f"{text}{more}{cloud_options(bed, **cloud)}management_cidr = {CIDR}\n")
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
