"""The guest: its keys, its named jobs, its answers."""

import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import cache
from typing import Any

from temporalio import activity

from activities.errors import GUEST_UNREACHABLE, REJECTED, final, guest_errors
from activities.waiting import still_wanted
from clouds.ports import GuestBoot
from guests.archive import Archive, ArchiveError, build_archive
from guests.client import GuestClient, Result
from guests.jobs import JobStatus, run_job
from guests.keys import new_key_pair
from guests.pool import GuestPool
from guests.transfer import Granted, run_transfer
from guests.transport import Endpoint
from guests.upgrade import upgrade_agent
from models import Database, DatastoreVersion, GuestTelemetry, Instance
from models.base import utcnow
from security.vault import Vault
from telemetry.urls import GuestUrls
from workflows.contracts import GuestJob, GuestQuestion, JobLook, ObjectTransfer, Operation
from workflows.options import SCALE

CHANNEL_KEY = "channel-key"
HOST_KEY = "host-key"


class GuestActivities:
    def __init__(
        self,
        database: Database,
        vault: Vault,
        pool: GuestPool,
        urls: GuestUrls,
        *,
        login: str = "root",
        call_deadline: float = 10.0,
        no_progress_deadline: float = 900.0,
        job_window: float = 10.0,
        silence: timedelta = timedelta(seconds=30),
        on_progress: Callable[[str], None] = lambda words: None,
    ) -> None:
        self._database, self._vault, self._pool, self._urls = database, vault, pool, urls
        self._call_deadline, self._no_progress_deadline = call_deadline, no_progress_deadline
        self._job_window, self._silence = job_window, silence
        self._tell = on_progress
        self._login = login

    @activity.defn(name="guest.create_keys", no_thread_cancel_exception=True)
    def create_keys(self, op: Operation) -> None:
        """The pair that opens this guest's channel and the host key it will show: made once, kept sealed."""
        channel, host = new_key_pair(), new_key_pair()
        with self._database.write() as s:
            instance = s.get_one(Instance, op.instance_id)
            if instance.channel_key_ref is not None:
                return
            instance.channel_key_ref = self._vault.put(s, op.instance_id, CHANNEL_KEY, _pair(channel.private, channel.public))
            instance.channel_host_key = host.public
            self._vault.put(s, op.instance_id, HOST_KEY, host.private, ref=_host_key_ref(op.instance_id))

    @activity.defn(name="guest.delete_keys", no_thread_cancel_exception=True)
    def delete_keys(self, op: Operation) -> None:
        with self._database.write() as s:
            instance = s.get_one(Instance, op.instance_id)
            instance.channel_key_ref = instance.channel_host_key = None
            Vault.forget(s, op.instance_id, CHANNEL_KEY)
            Vault.forget(s, op.instance_id, HOST_KEY)

    @activity.defn(name="guest.run_job", no_thread_cancel_exception=True)
    def run_job(self, job: GuestJob) -> None:
        """See a named job through, whichever of worker, agent and connection dies meanwhile."""
        self._see_through(job, self._heard)

    @activity.defn(name="guest.start_job", no_thread_cancel_exception=True)
    def start_job(self, job: GuestJob) -> JobLook:
        """See that a named job is started, and stay with it for a while: most end within it."""
        until = time.monotonic() + self._job_window

        def heard(status: JobStatus) -> None:
            self._heard(status)
            if status.state == "in_progress" and time.monotonic() >= until:
                raise _Left(status.revision)

        try:
            self._see_through(job, heard)
        except _Left as left:
            return JobLook(ended=False, reports=self._reports(job.op.instance_id), revision=left.revision)
        return JobLook(ended=True)

    @activity.defn(name="guest.upgrade_agent", no_thread_cancel_exception=True)
    def upgrade_agent(self, job: GuestJob) -> None:
        """See the guest's agent replaced by the one that this installation has, or taken back."""
        try:
            archive = _own_agent()
        except ArchiveError as e:
            raise final(REJECTED, str(e)) from e
        with guest_errors():
            upgrade_agent(
                self._connect(job.op.instance_id, job.address, job.ssh_port),
                job.job_id,
                job.op.generation,
                archive,
                on_progress=self._heard,
                no_progress_deadline=self._no_progress_deadline,
            )

    def transfer(self, transfer: ObjectTransfer, kind: str, spec: dict[str, Any], granted: Granted) -> Result:
        """See a job through that sends to the object store or reads from it.  Raises ApplicationError; CloudError where a URL can't be made."""
        with guest_errors():
            return run_transfer(
                self._connect(transfer.op.instance_id),
                transfer.job_id,
                transfer.op.generation,
                kind,
                spec,
                granted,
                on_progress=self._heard,
                pause=_Patience(),
                call_deadline=self._call_deadline,
                no_progress_deadline=self._no_progress_deadline,
                beat=min(4.0, 6 * SCALE),
            )

    def _heard(self, status: JobStatus) -> None:
        words = f"{status.progress.step}, {status.progress.done} of {status.progress.total}" if status.progress else status.state
        self._tell(words)
        still_wanted(words)

    def _reports(self, instance_id: str) -> bool:
        """Whether the guest has been heard of lately, so that it can be relied on to tell of its jobs."""
        with self._database.read() as s:
            telemetry = s.get(GuestTelemetry, instance_id)
        return telemetry is not None and telemetry.received_at > utcnow() - self._silence

    def _see_through(self, job: GuestJob, heard: Callable[[JobStatus], None]) -> None:
        with self._database.read() as s:
            spec = json.loads(self._vault.get(s, job.spec_ref)) if job.spec_ref else {}
        with guest_errors():
            run_job(
                self._connect(job.op.instance_id, job.address, job.ssh_port),
                job.job_id,
                job.op.generation,
                job.kind,
                spec,
                on_progress=heard,
                pause=_Patience(),
                call_deadline=self._call_deadline,
                no_progress_deadline=self._no_progress_deadline,
                beat=min(4.0, 6 * SCALE),
            )

    @activity.defn(name="guest.ask", no_thread_cancel_exception=True)
    def ask(self, question: GuestQuestion) -> dict[str, Any]:
        """One call that changes nothing."""
        with guest_errors(), self._connect(question.instance_id)() as client:
            return client.call(question.method, question.params, min(question.deadline, self._call_deadline))

    def configure_telemetry(self, instance_id: str, settings: Mapping[str, Any], deadline: float) -> None:
        """Tell the guest where to report to, and above what, should it have lost count of its starts.  Raises GuestError, GuestUnreachable,
        HostKeyMismatch; ApplicationError without a server."""
        with self._connect(instance_id)() as client:
            posted = client.call("telemetry.configure", dict(settings), deadline)
            heard = self._heard_last(instance_id)
            if (posted["epoch"], posted["number"]) < heard:
                client.call("telemetry.configure", {**settings, "epoch_above": heard[0]}, deadline)

    def boot(self, instance_id: str, version: DatastoreVersion, ram_mb: int) -> GuestBoot:
        """What the new server must know; only ever handed to the cloud driver."""
        with self._database.read() as s:
            instance = s.get_one(Instance, instance_id)
            channel = json.loads(self._vault.get(s, str(instance.channel_key_ref)))
            host_key = self._vault.get(s, _host_key_ref(instance_id))
        return GuestBoot(
            instance_id,
            version.manager,
            version.version,
            ram_mb,
            authorized_key=channel["public"],
            host_key=host_key,
            telemetry=self._urls.settings(instance_id),
        )

    def _heard_last(self, instance_id: str) -> tuple[int, int]:
        """Epoch and number of the newest report; zeros without any."""
        with self._database.read() as s:
            telemetry = s.get(GuestTelemetry, instance_id)
        return (telemetry.epoch, telemetry.number) if telemetry else (0, 0)

    def _connect(self, instance_id: str, address: str = "", port: int = 0) -> Callable[[], AbstractContextManager[GuestClient]]:
        endpoint = self._endpoint(instance_id, address, port)
        return lambda: self._pool.connected(endpoint)

    def _endpoint(self, instance_id: str, address: str, port: int) -> Endpoint:
        with self._database.read() as s:
            instance = s.get_one(Instance, instance_id)
            host, ssh_port = address or instance.management_address, port or instance.management_port
            if not (host and ssh_port and instance.channel_host_key and instance.channel_key_ref):
                raise final(GUEST_UNREACHABLE, "The instance has no server.")
            private = json.loads(self._vault.get(s, instance.channel_key_ref))["private"]
        return Endpoint(instance_id, host, ssh_port, private, instance.channel_host_key, username=self._login)


class _Left(Exception):
    """The job goes on without anybody watching it."""

    def __init__(self, revision: int) -> None:
        super().__init__(revision)
        self.revision = revision


@cache
def _own_agent() -> Archive:
    """Made once: the files of an installation stay as they are while a worker runs."""
    return build_archive()


class _Patience:
    """Waits between tries: a guest that boots is asked often at first."""

    def __init__(self, first: float = 0.03, most: float = 1.0) -> None:
        self._next, self._most = first, most
        self._never = threading.Event()

    def __call__(self, _suggested: float) -> None:
        still_wanted()
        self._never.wait(self._next * random.uniform(0.8, 1.2))  # noqa: S311  (spreads callers, guards nothing)
        self._next = min(self._next * 1.4, self._most)


def _pair(private: str, public: str) -> str:
    return json.dumps({"private": private, "public": public})


def _host_key_ref(instance_id: str) -> str:
    """One host key per instance, under a name that a repeated step finds again; a secret's id has room for 36 characters."""
    return f"hk-{instance_id.replace('-', '')}"
