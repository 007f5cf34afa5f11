"""Looks at the cloud that a schedule asks for, and what they lead to.

`servers.watch`: one list call for all servers.  An instance whose server two looks find gone, stopped or failed becomes ERROR with a reason; it
is READY again by itself when its server is back.
`reconcile.look`: servers, volumes, ports, rules and names against the rows.  It writes down what it finds, and mends only what somebody has approved.

What a crash leaves.  Each mend is absolute and of its own; an approval stays until a look does not find the thing any more.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import structlog
from sqlalchemy import and_, or_, update
from temporalio import activity

from activities.drift import Finding, Kind, Known, Repair, compare_servers
from activities.duties import Duties, Periodic
from activities.findings import AWAY, Look, Seen, known, look, mended, source_of, write
from activities.waiting import cloud_calls, still_wanted
from clouds.ports import Cloud, CloudError, Server, ServerStatus
from models import Database, Instance, InstanceState
from models.base import rows_changed, utcnow
from models.event_types import SERVER_BACK, SERVER_LOST
from models.outbox import Event, record
from workflows.contracts import Duty

WATCH, LOOK = "servers.watch", "reconcile.look"
OF_SERVERS = (Kind.LOST, Kind.FAILED, Kind.STOPPED)
IMPLAUSIBLE = 10
"""When more servers than this, and more than half of all, are gone at once, it is rather the look that is wrong."""

PATIENCE, PAUSE = 60.0, 1.0
"""Seconds that a removal is tried again for, and between two tries."""

_never = threading.Event()
log = structlog.get_logger(__name__)


class Mender:
    """Does what findings' `repair` says, given the look that has just found them.  Everything it does may be done again."""

    def __init__(self, database: Database, cloud: Cloud, now: Look, patience: float) -> None:
        self._database, self._cloud, self._now, self._patience = database, cloud, now, patience

    def mend(self, found: Finding) -> str:
        """Why it could not be done; empty: it is done."""
        try:
            self._until_not_in_use(lambda: self._do(found))
        except CloudError as error:
            mended(self._database, found.row_id, str(error))
            return str(error)
        if found.repair is not Repair.MARK:  # to say so does not bring the server back
            mended(self._database, found.row_id)
        return ""

    def _do(self, found: Finding) -> None:
        match found.repair:
            case Repair.REMOVE:
                source_of(self._cloud, found.thing).remove(found.key or found.instance)
            case Repair.KEEP_ONE:
                self._cloud.volumes.keep_one(found.key)
            case Repair.RULES:
                for rule in self._now.held.rules:
                    if (rule.thing, rule.key, rule.id, rule.wrong) == (found.thing, found.key, found.id, found.finding):
                        self._cloud.rules.mend(rule, self._now.held.wanted)
            case Repair.NAME:
                for want in self._now.held.names:
                    if want.key == found.key:
                        self._cloud.names.create_record(want)
            case Repair.MARK:
                server = next((one for one in self._now.held.servers() if one.key == found.key), None)
                mark(self._database, found, server, self._now.rows[found.instance])

    def _until_not_in_use(self, do: Callable[[], None]) -> None:
        """A server that has just been removed still holds its volume and port for a while."""
        until = time.monotonic() + self._patience
        while True:
            try:
                return do()
            except CloudError as error:
                if error.status != 409 or time.monotonic() > until:
                    raise
            _never.wait(PAUSE)


class ReconcileActivities:
    """`interval`, `watch_interval`: of zero length means never.  `patience`: seconds that a removal waits for what is still in use."""

    def __init__(
        self,
        database: Database,
        cloud: Cloud,
        interval: timedelta,
        grace: timedelta,
        watch_interval: timedelta,
        patience: float = PATIENCE,
    ) -> None:
        self._database, self._cloud, self._patience = database, cloud, patience
        self._interval, self._grace, self._watch_interval = interval, grace, watch_interval

    def duties(self) -> Duties:
        return Duties(periodic=[Periodic(WATCH, self._watch_interval), Periodic(LOOK, self._interval)])

    @activity.defn(name=LOOK, no_thread_cancel_exception=True)
    def look(self, duty: Duty) -> None:
        """One round."""
        if not self._interval:  # a schedule of before is still there
            return
        with cloud_calls():
            now = look(self._database, self._cloud)
        mender = Mender(self._database, self._cloud, now, self._patience)
        for seen in sorted(write(self._database, now.found), key=lambda one: one.found.rank):
            still_wanted()
            if seen.row.approved_at and seen.is_confirmed(self._grace):
                with cloud_calls():
                    error = mender.mend(seen.found)
                log.info("an approved repair", finding=seen.found.finding, key=seen.found.key, error=error)

    @activity.defn(name=WATCH, no_thread_cancel_exception=True)
    def watch(self, duty: Duty) -> None:
        """One round: what was known before the list call is held against it."""
        if not self._watch_interval:
            return
        rows = known(self._database, with_server=True)
        with cloud_calls():
            servers = self._cloud.compute.servers()
        found = compare_servers(servers, rows)
        seen = write(self._database, found, thing="server", kinds=OF_SERVERS)
        by_key = {server.key: server for server in servers}
        for instance_id, row in rows.items():
            server = by_key.get(str(row.server_key))
            if row.state is InstanceState.ERROR and not row.busy and server and server.status is ServerStatus.ACTIVE:
                unmark(self._database, instance_id, row)
        if _is_plausible(found, rows):
            self._mark(seen, by_key, rows)
        else:
            log.error("most servers are missing at once: no instance is set to ERROR", missing=len(found), instances=len(rows))

    def _mark(self, seen: Sequence[Seen], by_key: Mapping[str, Server], rows: Mapping[str, Known]) -> None:
        for one in seen:
            row = rows[one.found.instance]
            ripe = row.state in (InstanceState.READY, InstanceState.ERROR) and one.is_confirmed(self._watch_interval / 2)
            if ripe and mark(self._database, one.found, by_key.get(one.found.key), row):
                log.warning("an instance has lost its server", instance_id=one.found.instance, finding=one.found.finding)


def mark(database: Database, found: Finding, server: Server | None, row: Known) -> bool:
    """Make an instance that is READY and free ERROR, with what has become of its server; or say anew what it is by now, as of one that was
    stopped on its way to being deleted.  Whether it was this call that did."""
    status = str(server.status) if server else "DELETED"
    reason = _reason(found, status)
    other = and_(Instance.state == InstanceState.ERROR, Instance.fault_details.startswith(AWAY), Instance.fault_message != reason)
    ready = (
        or_(Instance.state == InstanceState.READY, other),
        Instance.generation == row.generation,
        Instance.server_key == row.server_key,
    )
    free = Instance.operation_id.is_(None), Instance.delete_operation_id.is_(None)
    with database.write() as s:
        mine = update(Instance).where(Instance.id == found.instance, *ready, *free)
        fault = {
            "fault_message": reason,
            "fault_details": f"{AWAY}: {server.fault if server and server.fault else f'server {found.key} is {status}'}",
            "fault_at": utcnow(),
        }
        if not rows_changed(s, mine.values(state=InstanceState.ERROR, **fault)):
            return False
        instance = s.get_one(Instance, found.instance, populate_existing=True)
        record(s, instance, [Event(SERVER_LOST, {"server_status": status, "message": instance.fault_message})])
    return True


def unmark(database: Database, instance_id: str, row: Known) -> bool:
    """The server is back: READY again, if that was all."""
    with database.write() as s:
        ours = Instance.state == InstanceState.ERROR, Instance.fault_details.startswith(AWAY)
        free = Instance.operation_id.is_(None), Instance.delete_operation_id.is_(None)
        mine = update(Instance).where(Instance.id == instance_id, Instance.generation == row.generation, *ours, *free)
        nothing = {"fault_message": None, "fault_details": None, "fault_at": None}
        if not rows_changed(s, mine.values(state=InstanceState.READY, **nothing)):
            return False
        record(s, s.get_one(Instance, instance_id, populate_existing=True), [Event(SERVER_BACK)])
    return True


def _reason(found: Finding, status: str) -> str:
    match found.kind:
        case Kind.LOST:
            return "The server of this instance is gone. Its data volume is kept until the instance is deleted; ask the operator."
        case Kind.STOPPED:
            return "The server of this instance has been switched off. It is ACTIVE again when the operator has started it."
        case _:
            return f"The server of this instance has failed (its status is {status}); ask the operator."


def _is_plausible(found: Sequence[Finding], rows: Mapping[str, Known]) -> bool:
    missing = sum(one.kind is Kind.LOST for one in found)
    with_server = sum(row.has_server for row in rows.values())
    return missing <= IMPLAUSIBLE or missing * 2 <= with_server
