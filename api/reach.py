"""Changing who reaches an instance."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from api import datastores, instances
from api.context import Context, services
from api.errors import BadRequest, Unprocessable
from api.lifecycle import busy
from api.operations import Operations
from api.views import Row, status_of
from models import DatastoreVersion, Instance, InstanceState
from models.base import new_id
from models.instance import Busy
from workflows.contracts import NAME, SERVER, Access, ChangeAccess, Operation, let_in


def change(who: Context, instance_id: str, wanted: Mapping[str, Any]) -> None:
    parts = services()
    op_id = new_id()
    with parts.database.write() as s:
        found = instances.find_row(s, who, instance_id)
        port, before = _on_a_network(s, found[0])
        op = Operation(op_id, instance_id, who.project_id, _reserve(s, found, op_id), who.request_id)
        job = ChangeAccess(op, port, _access(wanted), _access(before), *_name(found[0]))
        row = Operations.record(s, "InstanceAccess", job, who.caller)
    parts.operations.start(row)


def _on_a_network(s: Session, instance: Instance) -> tuple[int, Mapping[str, Any]]:
    """Its engine's port, and who reaches it now.  Raises BadRequest for one that has been given no network."""
    if not any(address.get("network") for address in instance.addresses):
        raise BadRequest(f"Instance {instance.id} is on no network of yours, so there is no access to change.")
    version = s.get_one(DatastoreVersion, instance.datastore_version_id)
    return datastores.traits(version.manager).port, instance.access or {}


def _name(instance: Instance) -> tuple[str, str]:
    """And the key of its record, which the operation has made that made the server; empty: it has none."""
    return (instance.hostname, str(instance.server_key).removesuffix(SERVER) + NAME) if instance.hostname else ("", "")


def _reserve(s: Session, found: Row, op_id: str) -> int:
    instance, (status, _) = found[0], status_of(found[0], found[1], None)
    if instance.state != InstanceState.READY:
        raise Unprocessable(f"Instance {instance.id} is not ready. (Status is {status}).")
    try:
        return Instance.reserve(s, instance.id, op_id)
    except Busy as e:
        raise Unprocessable(busy(instance.id, status)) from e


def _access(said: Mapping[str, Any]) -> Access:
    return Access(bool(said.get("is_public")), let_in(said))
