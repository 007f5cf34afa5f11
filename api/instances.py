"""Finding instances as the caller may see them."""

from datetime import timedelta

from sqlalchemy import ColumnElement, and_, bindparam, func, select
from sqlalchemy.orm import Session

from api.context import Context, base_url, services
from api.errors import NotFound, Unprocessable
from api.views import Row, Viewer, status_of
from models import Datastore, DatastoreVersion, GuestTelemetry, Instance, InstanceState, OperationRow, OperationState
from models.base import utcnow


def visible(project_id: str) -> ColumnElement[bool]:
    return and_(Instance.project_id == project_id, Instance.deleted_at.is_(None))


_HOLDER = and_(
    OperationRow.id == func.coalesce(Instance.delete_operation_id, Instance.operation_id),
    OperationRow.state.in_(OperationState.open()),
)
ROWS = (
    select(
        Instance,
        OperationRow.kind,
        DatastoreVersion.name,
        DatastoreVersion.version,
        Datastore.name,
        GuestTelemetry.engine_state,
        GuestTelemetry.received_at,
        GuestTelemetry.volume_used,
        GuestTelemetry.engine_up,
        GuestTelemetry.deaths,
        GuestTelemetry.died_at,
    )
    .outerjoin(OperationRow, _HOLDER)
    .outerjoin(GuestTelemetry, GuestTelemetry.instance_id == Instance.id)
    .join(DatastoreVersion, DatastoreVersion.id == Instance.datastore_version_id)
    .join(Datastore, Datastore.id == DatastoreVersion.datastore_id)
)
"""All that a view of an instance needs, in one statement; see views.Row."""

_ONE = ROWS.where(Instance.id == bindparam("id"), Instance.project_id == bindparam("project"), Instance.deleted_at.is_(None))


def find_row(s: Session, who: Context, instance_id: str) -> Row:
    found = s.execute(_ONE, {"id": instance_id, "project": who.project_id}).first()
    if found is None:
        raise NotFound(f"Instance '{instance_id}' cannot be found.")
    return found


def find(s: Session, who: Context, instance_id: str) -> Instance:
    return find_row(s, who, instance_id)[0]


def find_ready(s: Session, who: Context, instance_id: str) -> tuple[Instance, str]:
    """The instance and its guest's manager; raises Unprocessable unless its engine can be expected to answer."""
    row = find_row(s, who, instance_id)
    status, _ = status_of(row[0], row[1], None)
    if row[0].state != InstanceState.READY or status != "ACTIVE":
        raise Unprocessable(f"Instance {instance_id} is not ready. (Status is {status}).")
    version = s.get_one(DatastoreVersion, row[0].datastore_version_id)
    return row[0], version.manager


def viewer(who: Context) -> Viewer:
    conf = services().conf
    silent_before = utcnow() - timedelta(seconds=conf.telemetry.period * conf.telemetry.silent_after)
    return Viewer(base_url(), who.project_id, conf.region, who.is_admin, silent_before)
