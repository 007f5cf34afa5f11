"""What the API shows, as plain dicts made from rows.  Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from models import (
    Datastore,
    DatastoreVersion,
    EventSubscription,
    FlavorRow,
    Instance,
    InstanceState,
    OperationRow,
    OperationState,
    OperationStep,
)
from workflows.kinds import KINDS

Row = tuple[
    Instance,
    str | None,
    str,
    str,
    str,
    str | None,
    datetime | None,
    int | None,
    bool | None,
    int | None,
    datetime | None,
]
"""An instance, the kind of its open operation, its version's name and number, its datastore's name; and of its guest's last report, if there is
one: the engine's state, when it was received, the bytes used of the volume; and what was made of its reports: whether the engine is known
to be up, how often it has died, when it was seen to have died last."""

ENGINE = {"running": "HEALTHY", "blocked": "BLOCKED", "stopped": "SHUTDOWN", "none": "SHUTDOWN"}
"""The guest's word for its engine, in the words that clients know."""
GIB = 2**30
UNMEASURED = ("BUILD", "REBOOT", "SHUTDOWN")


@dataclass(frozen=True)
class Telemetry:
    """`silent`: the report is older than it should be.  `awaited`: the engine has not been heard to run since we began it."""

    engine: str
    silent: bool = False
    awaited: bool = False


@dataclass(frozen=True)
class Viewer:
    """For whom a view is made, and when.  A guest that was heard of last before `silent_before` is silent."""

    base: str
    project_id: str
    region: str = ""
    is_admin: bool = False
    silent_before: datetime | None = None

    def telemetry(self, row: Row) -> Telemetry | None:
        engine, received_at = row[5], row[6]
        if engine is None or received_at is None:
            return None
        silent = self.silent_before is not None and received_at < self.silent_before
        return Telemetry(engine, silent, awaited=row[8] is None)

    def links(self, collection: str, id: str) -> list[dict[str, str]]:
        return [
            {"href": f"{self.base}/v1.0/{self.project_id}/{collection}/{id}", "rel": "self"},
            {"href": f"{self.base}/{collection}/{id}", "rel": "bookmark"},
        ]


def stamp(at: datetime) -> str:
    """As the wire contract has it: UTC, whole seconds, no zone."""
    return at.strftime("%Y-%m-%dT%H:%M:%S")


def instant(at: datetime | None) -> str | None:
    """With milliseconds: steps take some of them."""
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds") if at else None


def status_of(instance: Instance, operation_kind: str | None, telemetry: Telemetry | None) -> tuple[str, str]:
    """(status, operating_status) from the lasting state, the kind of the operation that runs on it now, and the guest's last report.

    Of a guest that has never reported only operations tell: after a reset of the status nobody has looked at its engine, and HEALTHY is
    said again once an operation has ended well.  Nor does a report count that its engine is not there yet which was made before the
    operation that began it had ended.
    """
    running = KINDS[operation_kind].status if operation_kind else ""
    if running:
        return running, ""
    match instance.state:
        case InstanceState.BUILDING:
            return "BUILD", ""
        case InstanceState.READY:
            status, assumed = "ACTIVE", "ERROR" if instance.fault_message else "HEALTHY"
        case _:
            status, assumed = "ERROR", "ERROR" if instance.server_key else "FAILED"
    if telemetry is None or assumed == "FAILED":
        return status, assumed
    if telemetry.silent:
        return status, "UNKNOWN"
    return status, assumed if telemetry.awaited and telemetry.engine in ("stopped", "none") else ENGINE[telemetry.engine]


def instance_in_list(row: Row, viewer: Viewer) -> dict[str, Any]:
    instance, kind, version, _number, datastore, *_ = row
    status, operating_status = status_of(instance, kind, viewer.telemetry(row))
    addresses = instance.addresses
    view: dict[str, Any] = {
        "id": instance.id,
        "name": instance.name,
        "status": status,
        "operating_status": operating_status,
        "links": viewer.links("instances", instance.id),
        "flavor": {"id": instance.flavor_id, "links": viewer.links("flavors", instance.flavor_id)},
        "datastore": {"type": datastore, "version": version},
        "region": viewer.region,
        "access": access(instance),
        "volume": {"size": instance.volume_size},
    }
    if addresses and status != "BUILD":
        view["ip"] = [a["address"] for a in addresses]
        view["addresses"] = addresses
        if instance.hostname:
            view["hostname"] = instance.hostname
    if viewer.is_admin:
        view["tenant_id"] = instance.project_id
    return view


def access(instance: Instance) -> dict[str, Any]:
    """As asked for; otherwise as its addresses show."""
    if instance.access is not None:
        return instance.access
    return {"is_public": any(a["type"] == "public" for a in instance.addresses)} if instance.addresses else {}


def instance_detail(row: Row, viewer: Viewer) -> dict[str, Any]:
    instance, number, received_at, volume_used = row[0], row[3], row[6], row[7]
    deaths, died_at = row[9], row[10]
    view = instance_in_list(row, viewer)
    view["datastore"]["version_number"] = number
    view["created"] = stamp(instance.created_at)
    view["updated"] = stamp(instance.updated_at)
    view["service_status_updated"] = stamp(received_at or instance.updated_at)
    if instance.locality:
        view["locality"] = instance.locality
    if volume_used is not None and view["status"] not in UNMEASURED:
        view["volume"]["used"] = round(volume_used / GIB, 2)
    if deaths and died_at:
        view["engine_deaths"], view["engine_died"] = deaths, stamp(died_at)
    if instance.fault_message and instance.fault_at:
        view["fault"] = {
            "message": instance.fault_message,
            "created": stamp(instance.fault_at),
            "details": instance.fault_details if viewer.is_admin else None,
        }
    if viewer.is_admin and instance.server_key:
        view["server_id"] = instance.server_key
    return view


def version(row: DatastoreVersion, viewer: Viewer, *, inside: bool = False) -> dict[str, Any]:
    """`inside`: as a part of its datastore's view."""
    view: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "version": row.version,
        "links": viewer.links(f"datastores/{row.datastore_id}/versions", row.id),
    }
    if not inside:
        view["datastore"] = row.datastore_id
    if viewer.is_admin:
        view |= {"active": row.active, "packages": row.packages, "image": row.image_id, "image_tags": []}
    return view


def datastore(row: Datastore, versions: Sequence[DatastoreVersion], viewer: Viewer) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "links": viewer.links("datastores", row.id),
        "versions": [version(v, viewer, inside=True) for v in versions],
    }
    if row.default_version_id:
        view["default_version"] = row.default_version_id
    return view


def flavor(row: FlavorRow, viewer: Viewer) -> dict[str, Any]:
    number = row.id.isascii() and row.id.isdigit() and (row.id == "0" or not row.id.startswith("0"))
    return {
        "id": int(row.id) if number else None,
        "str_id": row.id,
        "name": row.name,
        "ram": row.ram_mb,
        "vcpus": row.vcpus,
        "disk": row.disk_gb,
        "ephemeral": 0,
        "links": viewer.links("flavors", row.id),
    }


def operation(
    row: OperationRow, viewer: Viewer, workflows_url: str, steps: Sequence[OperationStep] | None = None
) -> dict[str, Any]:
    """`workflows_url`: where the Temporal Web UI shows workflows; an id is added."""
    view: dict[str, Any] = {
        "id": row.id,
        "kind": row.kind,
        "state": row.state.value,
        "instance_id": row.instance_id,
        "project_id": row.project_id,
        "user_id": row.user_id,
        "request_id": row.request_id,
        "retry_of": row.retry_of,
        "cancellable": row.state in OperationState.open() and KINDS[row.kind].cancellable,
        "cancel_requested": row.cancel_requested_at is not None,
        "error": {"type": row.error_type, "message": row.error_message} if row.error_type else None,
        "created": instant(row.created_at),
        "started": instant(row.started_at),
        "finished": instant(row.finished_at),
        "workflow_id": row.workflow_id,
        "links": [
            *viewer.links("operations", row.id),
            {"href": f"{workflows_url}/{quote(row.workflow_id, safe='')}", "rel": "workflow"},
        ],
    }
    if steps is not None:
        view["steps"] = [step(s) for s in steps]
    return view


def step(row: OperationStep) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "state": row.state.value,
        "attempts": row.attempts,
        "progress": row.progress,
        "error": row.error,
        "started": instant(row.started_at),
        "finished": instant(row.finished_at),
    }


def event_subscription(row: EventSubscription, viewer: Viewer) -> dict[str, Any]:
    return {
        "id": row.id,
        "project_id": row.project_id,
        "user_id": row.user_id,
        "queue": row.queue,
        "flavor": row.flavor,
        "instance_id": row.instance_id,
        "types": row.types,
        "ttl": row.ttl,
        "status": "WAITING" if row.failures else "ACTIVE",
        "reason": row.reason or None,
        "retry_at": instant(row.retry_at),
        "dropped": row.dropped,
        "created": instant(row.created_at),
        "links": viewer.links("event-subscriptions", row.id),
    }
