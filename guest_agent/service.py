"""The agent: a datastore, its jobs, and the calls the control plane may make."""

import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from guest_agent import PROTOCOL, __version__, fields, specs
from guest_agent.datastores import MANAGERS, kinds, load
from guest_agent.datastores.base import Datastore
from guest_agent.errors import UnknownMethod
from guest_agent.jobs import Jobs, Step
from guest_agent.journal import Journal
from guest_agent.rpc import RpcServer
from guest_agent.services import Services
from guest_agent.settings import Settings
from guest_agent.specs import Account
from guest_agent.telemetry import addresses
from guest_agent.telemetry.service import Telemetry
from guest_agent.transfer.jobs import Transfers
from guest_agent.upgrade import job as upgrade
from guest_agent.upgrade.job import Upgrades
from guest_agent.upgrade.releases import own_release, pin_imports

MAX_WAIT = 30
MAX_PAGE = 1000
MAX_INTEGER = (1 << 63) - 1

Params = dict[str, Any]


class Agent:
    """Answers the methods of the guest protocol."""

    def __init__(
        self,
        settings: Settings,
        datastore: Datastore,
        jobs: Jobs,
        telemetry: Telemetry,
        upgrades: Upgrades,
        transfers: Transfers,
        boot_id: str,
    ) -> None:
        self._settings = settings
        self._release = own_release()
        self._datastore = datastore
        self._jobs = jobs
        self._telemetry = telemetry
        self._boot_id = boot_id
        self._methods: Mapping[str, Callable[[Params], object]] = {
            "hello": self._hello,
            "engine.status": self._engine_status,
            "databases.list": self._databases_list,
            "users.list": self._users_list,
            "users.show": self._users_show,
            "root.show": self._root_show,
            "job.start": self._job_start,
            "job.status": self._job_status,
            "job.clean": self._job_clean,
            "telemetry.configure": self._telemetry_configure,
            "agent.receive": upgrades.receive,
            "transfer.grant": transfers.grant,
        }

    def handle(self, method: str, params: Params) -> object:
        handler = self._methods.get(method)
        if handler is None:
            raise UnknownMethod(f"This agent knows no method {method!r}.")
        return handler(params)

    def _hello(self, params: Params) -> object:
        fields.take(params, "params")
        return {
            "agent": __version__,
            "protocol": PROTOCOL,
            "release": self._release,
            "instance_id": self._settings.instance_id,
            "datastore": self._settings.manager,
            "version": self._settings.version,
            "generation": self._jobs.generation,
            "boot_id": self._boot_id,
            "engine": self._datastore.status().state,
        }

    def _engine_status(self, params: Params) -> object:
        fields.take(params, "params")
        status = self._datastore.status()
        return {"state": status.state, "version": status.version}

    def _databases_list(self, params: Params) -> object:
        limit, marker = _page(params)
        names = sorted(name for name in self._datastore.database_names() if marker is None or name > marker)
        page = names[:limit]
        return {"databases": [{"name": name} for name in page], "next": page[-1] if len(names) > limit else None}

    def _users_list(self, params: Params) -> object:
        limit, marker = _page(params)
        users = {user.account.key: user for user in self._datastore.users()}
        keys = sorted(key for key in users if marker is None or key > marker)
        page = keys[:limit]
        return {"users": [users[key].as_json() for key in page], "next": page[-1] if len(keys) > limit else None}

    def _users_show(self, params: Params) -> object:
        taken = fields.take(params, "params", {"name": fields.text}, {"host": fields.text})
        return self._datastore.show_user(Account(taken["name"], taken["host"] or specs.ANY_HOST)).as_json()

    def _root_show(self, params: Params) -> object:
        fields.take(params, "params")
        return {"enabled": self._datastore.root_enabled()}

    def _job_start(self, params: Params) -> object:
        taken = fields.take(
            params,
            "params",
            required={
                "job_id": fields.job_id,
                "generation": fields.integer(0, MAX_INTEGER),
                "kind": fields.text,
                "spec": fields.json_object,
            },
        )
        return self._jobs.start(**taken)

    def _job_status(self, params: Params) -> object:
        taken = fields.take(
            params,
            "params",
            required={"job_id": fields.job_id},
            optional={"wait": fields.number(0, MAX_WAIT), "after": fields.integer(0, MAX_INTEGER)},
        )
        return self._jobs.status(taken["job_id"], taken["wait"] or 0, taken["after"] or 0)

    def _job_clean(self, params: Params) -> object:
        self._jobs.clean(fields.take(params, "params", required={"job_id": fields.job_id})["job_id"])
        return {}

    def _telemetry_configure(self, params: Params) -> object:
        return self._telemetry.configure(*addresses.configuration(params, "params"))


def run(arguments: list[str], managers: Mapping[str, str] = MANAGERS) -> None:
    """Serve until killed. Nothing is lost by that: the journal has every unfinished job."""
    if len(arguments) != 1:
        sys.exit("usage: python -m guest_agent AGENT_JSON")
    pin_imports()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings.load(arguments[0])
    prepare_directories(settings)
    services = Services(settings.init_socket)
    datastore = load(settings, services, managers)
    upgrades = Upgrades(settings, services)

    transfers = Transfers(settings)

    def build(kind: str, spec: dict[str, Any]) -> list[Step]:
        if kind in transfers.KINDS:
            return transfers.steps(kind, spec)
        return upgrades.steps(spec) if kind == upgrade.KIND else kinds.steps(datastore, kind, spec)

    jobs = Jobs(Journal(settings.state_dir), build)
    boot_id = os.environ.get("COFFER_BOOT_ID") or _kernel_boot_id()
    telemetry = Telemetry(settings, datastore, jobs, boot_id)
    server = RpcServer(settings.socket, Agent(settings, datastore, jobs, telemetry, upgrades, transfers, boot_id).handle)
    # Before an unfinished job goes on, which may end the agent again: calls wait in the socket for a moment.
    notify_ready()
    jobs.resume()
    telemetry.start()
    server.serve_forever()


def prepare_directories(settings: Settings) -> None:
    for directory in (settings.data_dir, settings.state_dir, settings.run_dir, settings.log_dir):
        directory.mkdir(parents=True, exist_ok=True)
    # The engine's account passes through to its configuration; what is private in there has mode 0600.
    settings.state_dir.chmod(0o711)


def notify_ready() -> None:
    """Tell init, or systemd, that calls are answered."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        notifier.sendto(b"READY=1", f"\0{address[1:]}" if address.startswith("@") else address)


def _page(params: Params) -> tuple[int, str | None]:
    taken = fields.take(params, "params", optional={"limit": fields.integer(1, MAX_PAGE), "marker": fields.text})
    return taken["limit"] or MAX_PAGE, taken["marker"]


def _kernel_boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
