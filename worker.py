"""The worker process: runs workflows and activities, and starts what the API could not."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from oslo_config.cfg import ConfigOpts
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Interceptor, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

import config
from activities.delivery import Delivery
from activities.duties import Keeper
from activities.events import EventActivities
from activities.exists import Existence
from activities.guest import GuestActivities
from activities.reconcile import ReconcileActivities
from activities.registry import Collaborators, activities, duties
from activities.steps import StepLog
from api.operations import Operations
from api.temporal_bridge import TemporalBridge
from clouds.local import local_cloud
from clouds.local.objectserver import serving
from clouds.objects import UrlRules
from clouds.ports import Cloud
from guests.pool import GuestPool
from logs import log_json
from messaging.bell import Bell, meeting_place
from messaging.service import Messaging
from messaging.signing import signer_of
from models import Database
from models.outbox import OUTBOX
from security import keyring
from security.codec import data_converter
from security.vault import Vault
from telemetry.urls import GuestUrls
from workflows.registry import WORKFLOWS

if TYPE_CHECKING:
    from clouds.openstack import Settings

log = structlog.get_logger("worker")

DISPATCH_EVERY = 2.0
KEEP_EVERY = 5.0
OBJECT_URLS = "object-url"
GRACE = timedelta(seconds=20)


def cloud_of(conf: ConfigOpts) -> Cloud:
    if conf.cloud.driver == "openstack":
        return _openstack_cloud(conf)
    return local_cloud(
        Path(conf.cloud.local_directory),
        agent_module=conf.cloud.local_agent_module,
        ssh_port=conf.cloud.local_ssh_port,
        urls=url_rules(conf),
    )


def url_rules(conf: ConfigOpts) -> UrlRules:
    """Temporary URLs are signed with keys that follow the keyring: a new key at its front signs, the one behind it is still good."""
    keys = keyring.load(Path(conf.secrets.keyring_file))
    return UrlRules(
        tuple(keys.derive(OBJECT_URLS, id).hex() for id in keys.ids),
        conf.objects.url_lifetime,
        conf.objects.url_ip_range,
        conf.objects.guest_endpoint,
    )


def _openstack_cloud(conf: ConfigOpts) -> Cloud:
    from clouds.openstack import openstack_cloud  # its library takes a second to load

    return openstack_cloud(replace(openstack_settings(conf), urls=url_rules(conf)))


def openstack_settings(conf: ConfigOpts) -> "Settings":
    from clouds.openstack import settings_of

    return settings_of(conf)


def listening(conf: ConfigOpts, cloud: Cloud) -> AbstractContextManager[object]:
    """To what the cloud tells of itself, where that is configured."""
    told = conf.notifications
    if conf.cloud.driver != "openstack" or not told.transport_url:
        return nullcontext()
    try:
        from clouds.openstack.notifications import SERVERS, VOLUMES, Listener, source_of
    except ModuleNotFoundError as error:
        log.error("notifications are not heard; polling", missing=error.name, mend="pip install 'coffer[notifications]'")
        return nullcontext()
    changes = {SERVERS: cloud.server_changes, VOLUMES: cloud.volume_changes}
    for one in changes.values():
        one.longest_rest = told.longest_rest
    return Listener(source_of(conf), changes)


def collaborators(conf: ConfigOpts, client: Client, cloud: Cloud, database: Database, steps: StepLog) -> Collaborators:
    """What activities reach outside themselves, as the configuration says."""
    keys = keyring.load(Path(conf.secrets.keyring_file))
    urls = GuestUrls(conf, signer_of(keys, timedelta(seconds=conf.messaging.signed_url_lifetime)))
    silence = timedelta(seconds=conf.telemetry.period * conf.telemetry.silent_after)
    guests = GuestActivities(
        database,
        Vault(keys),
        GuestPool(max_connections=conf.guest.max_connections),
        urls,
        login=cloud.guest_login,
        call_deadline=conf.guest.call_deadline,
        no_progress_deadline=conf.guest.no_progress_deadline,
        job_window=conf.guest.job_window,
        silence=silence,
        on_progress=steps.progress,
    )
    messaging = Messaging(database, keys)
    return Collaborators(
        database,
        cloud,
        guests,
        client,
        messaging=messaging,
        events=events(conf, database, messaging, keys),
        bell=Bell(meeting_place(keys)),
        urls=urls,
        reconcile=reconciler(conf, database, cloud),
        guests_flavor=conf.telemetry.flavor,
        segment_size=conf.objects.segment_size << 20,
        object_url_lifetime=conf.objects.url_lifetime,
        silence=silence,
    )


def events(conf: ConfigOpts, database: Database, messaging: Messaging, keys: keyring.Keyring) -> EventActivities:
    delivery = Delivery(database, messaging, Bell(meeting_place(keys)), conf.region, conf.events.max_waiting)
    existence = Existence(database, timedelta(seconds=conf.events.exists_interval))
    found = EventActivities(delivery, existence, Bell(meeting_place(keys, OUTBOX)))
    database.when_committed(OUTBOX, found.ring)
    return found


def reconciler(conf: ConfigOpts, database: Database, cloud: Cloud) -> ReconcileActivities:
    given = (conf.reconcile.interval, conf.reconcile.grace, conf.reconcile.watch_interval)
    interval, grace, watch_interval = (timedelta(seconds=seconds) for seconds in given)
    return ReconcileActivities(database, cloud, interval, grace, watch_interval)


def build(conf: ConfigOpts, c: Collaborators, steps: StepLog, extra: Sequence[Interceptor] = ()) -> Worker:
    """A worker on Coffer's queue.  `extra` interceptors run inside the step log."""
    threads = conf.temporal.activity_threads
    return Worker(
        c.client,
        task_queue=conf.temporal.task_queue,
        workflows=WORKFLOWS,
        activities=activities(c),
        activity_executor=ThreadPoolExecutor(threads, thread_name_prefix="activity"),
        max_concurrent_activities=threads,
        max_cached_workflows=conf.temporal.max_cached_workflows,
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        graceful_shutdown_timeout=GRACE,
        interceptors=[steps, *extra],
        workflow_runner=SandboxedWorkflowRunner(
            restrictions=SandboxRestrictions.default.with_passthrough_modules(
                "activities", "workflows.contracts", "workflows.options"
            )
        ),
    )


async def dispatch_forever(conf: ConfigOpts, converter: Any) -> None:
    """Repairs the gap between an API's commit and its start of the workflow."""
    bridge = TemporalBridge(conf.temporal.address, conf.temporal.namespace, converter, conf.temporal.task_queue)
    operations = Operations(Database(conf.database.connection), bridge, conf.temporal.rpc_timeout)
    while True:
        try:
            if started := await asyncio.to_thread(operations.dispatch):
                log.info("started what was pending", operations=started)
        except (RPCError, SQLAlchemyError, TimeoutError) as e:
            log.warning("dispatch comes again", reason=type(e).__name__)
        await asyncio.sleep(DISPATCH_EVERY)


async def keep_duties(keeper: Keeper) -> None:
    """Sees again and again that what is always to be done has its workflow."""
    while True:
        try:
            await keeper.keep()
        except (RPCError, SQLAlchemyError) as e:
            log.warning("duties are looked after again later", reason=type(e).__name__)
        await asyncio.sleep(KEEP_EVERY)


async def connected(conf: ConfigOpts, converter: Any) -> Client:
    """Temporal may come up after the worker."""
    while True:
        try:
            return await Client.connect(conf.temporal.address, namespace=conf.temporal.namespace, data_converter=converter)
        except RuntimeError as e:
            log.warning("waiting for Temporal", address=conf.temporal.address, reason=str(e)[:200])
            await asyncio.sleep(0.5)


def _objects_served(conf: ConfigOpts) -> AbstractContextManager[object]:
    """The local cloud's object store has no process of its own."""
    return serving(Path(conf.cloud.local_directory)) if conf.cloud.driver == "local" else nullcontext()


async def run(conf: ConfigOpts, extra: Sequence[Interceptor] = ()) -> None:
    """Until SIGTERM or SIGINT; activities then have some seconds to end or hand over."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    converter = data_converter(keyring.load(Path(conf.secrets.keyring_file)), conf.temporal.namespace)
    client = await connected(conf, converter)
    database = Database(conf.database.connection)
    steps = StepLog(database)
    c = collaborators(conf, client, cloud_of(conf), database, steps)
    errands = [
        asyncio.create_task(dispatch_forever(conf, converter)),
        asyncio.create_task(keep_duties(Keeper(client, conf.temporal.task_queue, duties(c)))),
    ]
    with _objects_served(conf), listening(conf, c.cloud):
        async with build(conf, c, steps, extra):
            log.info("polling", queue=conf.temporal.task_queue, address=conf.temporal.address)
            await asyncio.wait([asyncio.create_task(stop.wait()), *errands], return_when=asyncio.FIRST_COMPLETED)
    c.bell.close()
    c.events.close()
    for errand in errands:
        if errand.done():
            errand.result()
        errand.cancel()


def main() -> int:
    parser = argparse.ArgumentParser(prog="worker", description="Coffer's worker: workflows, activities, dispatcher.")
    parser.add_argument("--config", help="configuration file (etc/coffer.conf)")
    conf = config.load(parser.parse_args().config)
    log_json(conf.log_level)
    asyncio.run(run(conf))
    return 0


if __name__ == "__main__":
    sys.exit(main())
