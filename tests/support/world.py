"""A whole Coffer for one test: real Temporal, SQLite, the local cloud with its sshd and agents, and workers that may die."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer

import config
from activities.events import DELIVER, EXISTS, SUBJECT
from activities.reconcile import LOOK, WATCH
from api.operations import SEARCH_ATTRIBUTES, Caller, Operations
from api.temporal_bridge import TemporalBridge
from clouds.local import initprocess, volumes
from clouds.local.state import State
from messaging.service import Messaging
from models import (
    Base,
    Database,
    Datastore,
    DatastoreVersion,
    FlavorRow,
    Instance,
    InstanceState,
    MessagingCounter,
    OperationRow,
    OperationState,
    OperationStep,
)
from models.base import new_id
from models.quota import QuotaUsage, reserve
from security import keyring
from security.codec import data_converter
from security.vault import Vault
from tests.support.audit import inits_of, left_of
from worker import cloud_of
from workflows.contracts import Access, ChangeAccess, CreateInstance, GuestChange, Job, Operation, RepairInstance
from workflows.registry import WORKFLOWS

ROOT = Path(__file__).parents[2]
CALLER = Caller("project-1", "user-1", "req-test")
PASSWORD = "c4nary-Password!"
"""Given to every user that a test makes; must turn up nowhere."""

T = TypeVar("T")


class Loop:
    """An event loop in a thread of its own, for tests that are not async."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coro: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coro, self._loop).result(60)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


class Temporal:
    """A real dev server, in memory."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.env = self.loop.run(
            WorkflowEnvironment.start_local(
                dev_server_existing_path=shutil.which("temporal", path=str(Path(sys.executable).parent))
                or shutil.which("temporal"),
                dev_server_extra_args=[f"--search-attribute={name}=Keyword" for name in SEARCH_ATTRIBUTES],
            )
        )
        self.address: str = self.env.client.service_client.config.target_host

    def close(self) -> None:
        self.loop.run(self.env.shutdown())
        self.loop.close()


class Zygote:
    """Forks workers that have everything imported already."""

    def __init__(self, timeout_scale: float = 0.1) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.zygote"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                "COFFER_TIMEOUT_SCALE": str(timeout_scale),
                "PYTHONPATH": str(ROOT),
            },
        )

    def ask(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


class World:
    patience = 60.0
    """Seconds that an operation may take."""
    threads = 6
    flavor_id = "1"
    image_id = ""

    def __init__(
        self,
        temporal: Temporal,
        zygote: Zygote,
        manager: str = "stub",
        keyring_file: Path | None = None,
        options: str = "",
    ) -> None:
        """`options`: more of the configuration file, beginning with a group."""
        self.temporal, self.zygote, self.manager, self.options = temporal, zygote, manager, options
        self.directory = Path(tempfile.mkdtemp(prefix="cw-", dir="/tmp"))
        self.directory.chmod(0o755)
        if keyring_file:
            shutil.copy(keyring_file, self.directory / "keyring.json")
        self.config_file = self._configure()
        self.conf = config.load(self.config_file)
        self.database = Database(self.conf.database.connection)
        Base.metadata.create_all(self.database.engine)
        self.keyring = keyring.create(Path(self.conf.secrets.keyring_file))
        self.vault = Vault(self.keyring)
        self.messaging = self._message_store()
        self.converter = data_converter(self.keyring, "default")
        self.bridge = TemporalBridge(temporal.address, "default", self.converter, self.conf.temporal.task_queue)
        self.operations = Operations(self.database, self.bridge)
        self.client: Client = temporal.loop.run(Client.connect(temporal.address, data_converter=self.converter))
        self.cloud = cloud_of(self.conf)
        self.deaths = 0
        self.environment: dict[str, str] = {}
        self._worker = 0
        self._seed()

    def _configure(self) -> Path:
        text = f"""
[database]
connection = sqlite:///{self.directory}/coffer.db
[temporal]
address = {self.temporal.address}
task_queue = {self.directory.name}
max_cached_workflows = 0
activity_threads = {self.threads}
[secrets]
keyring_file = {self.directory}/keyring.json
[objects]
segment_size = 1
{self._cloud_options()}
{self._guest_options()}
[reconcile]
interval = 0
watch_interval = 0
{self.options}
"""
        path = self.directory / "coffer.conf"
        path.write_text(text)
        return path

    @property
    def agent_module(self) -> str:
        return "tests.support.stub_agent" if self.manager == "stub" else "guest_agent"

    def _cloud_options(self) -> str:
        return f"[cloud]\nlocal_directory = {self.directory}/c\nlocal_agent_module = {self.agent_module}"

    def _guest_options(self) -> str:
        return "[guest]\ncall_deadline = 3"

    def _message_store(self) -> Messaging:
        with self.database.write() as s:
            s.add_all([MessagingCounter(name="generation", value=0), MessagingCounter(name="placement", value=0)])
        messaging = Messaging(self.database, self.keyring)
        messaging.pools.put("default", {"uri": f"sqlite:///{self.directory}/messages.db", "weight": 1})
        return messaging

    def _seed(self) -> None:
        with self.database.write() as s:
            store = Datastore(id=new_id(), name=self.manager)
            s.add(store)
            s.flush()
            version = {"name": "1", "version": "1", "manager": self.manager, "image_id": self.image_id}
            s.add(DatastoreVersion(id="version-1", datastore_id=store.id, **version))
            s.add(FlavorRow(id=self.flavor_id, name="tiny", ram_mb=512, vcpus=1, disk_gb=1))

    # -- what a tenant asks for

    def create(self, users: list[dict[str, Any]] | None = None, **more: Any) -> OperationRow:
        """`more`: of the workflow's input."""
        op = Operation(new_id(), new_id(), CALLER.project_id, generation=1)
        with self.database.write() as s:
            reserve(s, CALLER.project_id, {"instances": 1, "volumes": 1, "ram": 512}, {})
            s.add(
                Instance(
                    id=op.instance_id,
                    project_id=op.project_id,
                    name="db",
                    flavor_id=self.flavor_id,
                    volume_size=1,
                    datastore_version_id="version-1",
                    operation_id=op.id,
                    generation=1,
                )
            )
            s.flush()
            spec = {
                "databases": [{"name": "app"}],
                "users": users or [{"name": "ada", "password": PASSWORD, "databases": [{"name": "app"}]}],
            }
            if self.manager == "redis":  # it has no databases
                spec = {"databases": [], "users": [{"name": "ada", "password": PASSWORD}]}
            ref = self.vault.put(s, op.instance_id, "prepare", json.dumps(spec))
            job = CreateInstance(op, "db", self.flavor_id, 1, "version-1", prepare_ref=ref, **more)
            row = self.operations.record(s, "InstanceCreate", job, CALLER)
        self.operations.start(row)
        return row

    def check_objects(self, instance_id: str) -> OperationRow:
        return self._begin(instance_id, "GuestObjectCheck", lambda op: Job(op))

    def restart(self, instance_id: str) -> OperationRow:
        return self._begin(instance_id, "InstanceRestart", lambda op: Job(op))

    def change_access(self, instance_id: str, wanted: Access | None = None) -> OperationRow:
        change, before = wanted or Access(False, ["10.0.0.0/8"]), Access(False, ["0.0.0.0/0"])
        instance = self.instance(instance_id)
        name = (instance.hostname, str(instance.server_key).replace("-server", "-name")) if instance.hostname else ()
        return self._begin(instance_id, "InstanceAccess", lambda op: ChangeAccess(op, 3306, change, before, *name))

    def repair(self, instance_id: str) -> OperationRow:
        (volume,) = self.cloud.volumes.volumes_of(instance_id)
        server_key = str(self.instance(instance_id).server_key)
        return self._begin(instance_id, "InstanceRepair", lambda op: RepairInstance(op, server_key, volume.key))

    def upgrade(self, instance_id: str) -> OperationRow:
        return self._begin(instance_id, "GuestUpgrade", lambda op: Job(op))

    def write(self, instance_id: str, kind: str = "create_users", spec: dict[str, Any] | None = None) -> OperationRow:
        spec = spec or {"users": [{"name": "bob", "password": PASSWORD}]}

        def change(op: Operation) -> GuestChange:
            with self.database.write() as s:
                return GuestChange(op, kind, self.vault.put(s, instance_id, op.id, json.dumps(spec)))

        return self._begin(instance_id, "GuestWrite", change)

    def _begin(self, instance_id: str, kind: str, job: Callable[[Operation], Any]) -> OperationRow:
        op_id = new_id()
        with self.database.write() as s:
            generation = Instance.reserve(s, instance_id, op_id)
        payload = job(Operation(op_id, instance_id, CALLER.project_id, generation))
        with self.database.write() as s:
            row = self.operations.record(s, kind, payload, CALLER)
        self.operations.start(row)
        return row

    def delete(self, instance_id: str, *, named: bool = False) -> OperationRow:
        op_id = new_id()
        with self.database.write() as s:
            generation = Instance.reserve_for_delete(s, instance_id, op_id)
            job = Job(Operation(op_id, instance_id, CALLER.project_id, generation), named)
            row = self.operations.record(s, "InstanceDelete", job, CALLER)
        self.operations.start(row)
        return row

    def take_away(self, instance_id: str) -> None:
        """As somebody without Coffer does: the server's power and its volume."""
        self.switch_off(instance_id)
        state = State(self.directory / "c")
        (volume,) = self.cloud.volumes.volumes_of(instance_id)
        record = state.volumes.read(volume.id)
        assert record
        volumes.detach(state, record)

    def switch_off(self, instance_id: str) -> None:
        (server,) = self.cloud.compute.servers_of(instance_id)
        initprocess.stop(self.directory / "c" / "servers" / server.id, server.address)

    # -- workers

    @contextmanager
    def worker(self, plan: str = "") -> Iterator[None]:
        """A worker, started again whenever it has died by SIGKILL; `deaths` counts."""
        order = {
            "config": str(self.config_file),
            "plan": plan,
            "directory": str(self.directory),
            "log": str(self.directory / "worker.log"),
            "environment": self.environment,
        }
        self._order = order
        self._worker = self.zygote.ask(order)
        try:
            yield
        finally:
            if self._worker:
                self._kill_worker()

    def revive(self) -> None:
        """Start the worker again if it has died."""
        code = self.zygote.ask({"wait": self._worker})
        if code is None:
            return
        assert code == -signal.SIGKILL, f"the worker ended with {code}:\n{self.log()[-4000:]}"
        self.deaths += 1
        self._worker = self.zygote.ask(self._order)

    def _kill_worker(self) -> None:
        pid, self._worker = self._worker, 0
        os.kill(pid, signal.SIGKILL)
        self.eventually(lambda: self.zygote.ask({"wait": pid}) is not None)

    def settle(self, row: OperationRow) -> OperationRow:
        """Until the operation has ended and its run has closed; keeps a worker alive meanwhile.  The run's history must replay."""
        seconds = self.patience
        self.eventually(lambda: self.operation(row.id).state not in OperationState.open(), seconds)
        self.eventually(lambda: not self.is_open(row), seconds)
        self.replay(row)
        return self.operation(row.id)

    def eventually(self, look: Callable[[], T], seconds: float = 30) -> T:
        """Look until it is so, reviving the worker between looks."""
        end = time.monotonic() + seconds
        pause = threading.Event()
        while not (found := look()):
            if time.monotonic() > end:
                raise AssertionError(f"not so within {seconds} s\n{self.log()[-6000:]}")
            if self._worker:
                self.revive()
            pause.wait(0.03)
        return found

    # -- what one can see

    def handle(self, row: OperationRow) -> "WorkflowHandle[Any, Any]":
        return self.client.get_workflow_handle(row.workflow_id)

    def is_open(self, row: OperationRow) -> bool:
        return self.temporal.loop.run(self.handle(row).describe()).close_time is None

    def replay(self, row: OperationRow) -> None:
        replayer = Replayer(workflows=WORKFLOWS, data_converter=self.converter)
        history = self.temporal.loop.run(self.handle(row).fetch_history())
        self.temporal.loop.run(replayer.replay_workflow(history))

    def operation(self, operation_id: str) -> OperationRow:
        with self.database.read() as s:
            return s.get_one(OperationRow, operation_id)

    def instance(self, instance_id: str) -> Instance:
        with self.database.read() as s:
            return s.get_one(Instance, instance_id)

    def steps(self, row: OperationRow) -> list[OperationStep]:
        with self.database.read() as s:
            return list(s.query(OperationStep).filter_by(operation_id=row.id).order_by(OperationStep.started_at))

    def usage(self) -> dict[str, int]:
        with self.database.read() as s:
            return {u.resource: u.in_use for u in s.query(QuotaUsage)}

    def log(self) -> str:
        path = self.directory / "worker.log"
        return path.read_text() if path.exists() else ""

    def queues(self) -> list[str]:
        """Those of guests."""
        page = self.messaging.queues.list(self.conf.telemetry.project, limit=100).page
        return [queue.name for queue in page.items]

    def ready_instance(self) -> str:
        row = self.create()
        ended = self.settle(row)
        assert ended.state == OperationState.DONE, (ended.error_type, ended.error_message)
        assert self.instance(row.instance_id).state == InstanceState.READY
        return row.instance_id

    def left(self) -> list[str]:
        """What the cloud holds: nothing, after a delete or a failed create."""
        return left_of(self.directory / "c")

    def doubled(self) -> list[int]:
        """More than the one init of the one server there is."""
        (server,) = (entry for entry in (self.directory / "c" / "servers").iterdir() if entry.is_dir())
        return inits_of(server)[1:]

    def close(self) -> None:
        self._empty_cloud()
        self.temporal.loop.run(self._end_duties())
        self.messaging.close()
        self.database.close()
        self.bridge.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _empty_cloud(self) -> None:
        cloud = self.cloud
        with self.database.read() as s:
            owners = [i.id for i in s.query(Instance)]
        for owner in owners:
            for server in cloud.compute.servers_of(owner):
                cloud.compute.delete_server(server.key)
            for volume in cloud.volumes.volumes_of(owner):
                cloud.volumes.delete_volume(volume.key)

    async def _end_duties(self) -> None:
        """Nobody will be there for them, and the server would go on asking."""
        queue = self.conf.temporal.task_queue
        for name in ("telemetry.renew", "messages.sweep", EXISTS, WATCH, LOOK):
            with suppress(RPCError):
                await self.client.get_schedule_handle(f"duty:{queue}:{name}").delete()
        for name in ("telemetry.drain:default", f"{DELIVER}:{SUBJECT}"):
            with suppress(RPCError):
                await self.client.get_workflow_handle(f"duty:{queue}:{name}").terminate()
