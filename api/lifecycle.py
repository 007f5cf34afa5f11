"""What changes an instance as a whole: one transaction that checks, takes quota and lock, and records; then the workflow is begun.

What if we crash here.  Before commit: nothing happened.  After it: the row is the request, the dispatcher starts it.
"""

import json
import secrets
import string
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from api import datastores, instances
from api.context import Context, services
from api.errors import BadRequest, OverLimit, Unprocessable
from api.operations import Operations
from api.placement import placed
from api.views import Row, status_of
from config import dns_zone
from models import Datastore, DatastoreVersion, FlavorRow, Instance, InstanceState, OperationRow
from models.base import new_id
from models.event_types import RENAMED
from models.instance import Busy
from models.outbox import Event, record
from models.quota import held_by_instance, limits_of, reserve
from workflows.contracts import CreateInstance, Job, Operation

ALPHABET = string.ascii_letters + string.digits
PREPARE = "prepare"


def generated_password() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(24))


def quota_limits(s: Session, project_id: str) -> dict[str, int]:
    conf = services().conf.quota
    return limits_of(s, project_id, {"instances": conf.instances, "volumes": conf.volumes, "ram": conf.ram})


# -- create


def create(who: Context, new: Mapping[str, Any]) -> tuple[Row, str | None]:
    """The new instance's row and root's password, if there is to be one."""
    parts = services()
    _check_region(new)
    where = placed(who, new)
    password = new.get("root_password") or (generated_password() if new["root_enabled"] else None)
    op = Operation(new_id(), new_id(), who.project_id, generation=1, request_id=who.request_id)
    with parts.database.write() as s:
        datastore, version = datastores.chosen_version(s, new.get("datastore", {}), parts.conf.default_datastore)
        flavor = _flavor(s, new["flavorRef"])
        datastores.check_accounts(version.manager, new["databases"], new["users"])
        datastores.check_granted(new["databases"], new["users"])
        size = _volume_size(new)
        reserve(s, who.project_id, held_by_instance(size, flavor), quota_limits(s, who.project_id))
        instance = _add_instance(s, op, new, flavor, version, size)
        instance.access, instance.locality = where.access, where.locality or None
        instance.volume_type = where.volume_type or None
        ref = parts.vault.put(s, instance.id, PREPARE, json.dumps(_prepare_spec(new, password)))
        job = CreateInstance(
            op,
            instance.name,
            flavor.id,
            size,
            version.id,
            volume_type=where.volume_type,
            prepare_ref=ref,
            root_enabled=password is not None,
            network=where.network(version.manager),
            locality=where.locality,
            availability_zone=where.availability_zone,
            root_gb=flavor.disk_gb if parts.conf.cloud.boot_from_volume else 0,
            zone=dns_zone(parts.conf),
        )
        row = Operations.record(s, "InstanceCreate", job, who.caller)
    parts.operations.start(row)
    return _row(instance, row, version, datastore), password


def _check_region(new: Mapping[str, Any]) -> None:
    region = services().conf.region
    if new.get("region_name") not in (None, "", region):
        raise BadRequest(f"This is region '{region}'; instances of other regions are not supported yet: leave `region_name` out.")


def _flavor(s: Session, flavor_id: str) -> FlavorRow:
    flavor = s.get(FlavorRow, flavor_id)
    if flavor is None:
        raise BadRequest(f"Flavor '{flavor_id}' cannot be found. GET /flavors lists them.")
    return flavor


def _volume_size(new: Mapping[str, Any]) -> int:
    size: int = new["volume"]["size"]
    most = services().conf.quota.max_volume_size
    if size > most:
        raise OverLimit(f"Volume 'size' cannot exceed maximum of {most} GiB.")
    return size


def _add_instance(
    s: Session, op: Operation, new: Mapping[str, Any], flavor: FlavorRow, version: DatastoreVersion, size: int
) -> Instance:
    instance = Instance(
        id=op.instance_id,
        project_id=op.project_id,
        name=new["name"],
        state=InstanceState.BUILDING,
        flavor_id=flavor.id,
        volume_size=size,
        datastore_version_id=version.id,
        addresses=[],
        operation_id=op.id,
        generation=op.generation,
        quota_held=True,
    )
    s.add(instance)
    s.flush()
    return instance


def _prepare_spec(new: Mapping[str, Any], root_password: str | None) -> dict[str, Any]:
    spec: dict[str, Any] = {"databases": [given(d) for d in new["databases"]], "users": [given(u) for u in new["users"]]}
    if root_password is not None:
        spec["root_password"] = root_password
    return spec


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _row(instance: Instance, row: OperationRow, version: DatastoreVersion, datastore: Datastore) -> Row:
    return instance, row.kind, version.name, version.version, datastore.name, None, None, None, None, None, None


# -- delete


def delete(who: Context, instance_id: str) -> None:
    """From any state; a second deletion is the first one."""
    parts = services()
    op_id = new_id()
    with parts.database.write() as s:
        instance = instances.find(s, who, instance_id)
        named = bool(instance.hostname or dns_zone(parts.conf))
        try:
            generation = Instance.reserve_for_delete(s, instance_id, op_id)
        except Busy:
            return
        op = Operation(op_id, instance_id, who.project_id, generation, who.request_id)
        row = Operations.record(s, "InstanceDelete", Job(op, named), who.caller)
    parts.operations.start(row)


# -- restart


def restart(who: Context, instance_id: str) -> None:
    parts = services()
    op_id = new_id()
    with parts.database.write() as s:
        generation = reserve_for_restart(s, who, instance_id, op_id)
        op = Operation(op_id, instance_id, who.project_id, generation, who.request_id)
        row = Operations.record(s, "InstanceRestart", Job(op), who.caller)
    parts.operations.start(row)


def reserve_for_restart(s: Session, who: Context, instance_id: str, op_id: str) -> int:
    found = instances.find_row(s, who, instance_id)
    instance, (status, _) = found[0], status_of(found[0], found[1], None)
    if instance.state not in (InstanceState.READY, InstanceState.ERROR) or not instance.server_key:
        raise Unprocessable(f"Instance {instance_id} is not ready. (Status is {status}).")
    try:
        return Instance.reserve(s, instance_id, op_id)
    except Busy as e:
        raise Unprocessable(busy(instance_id, status)) from e


def upgrade_agent(who: Context, instance_id: str) -> None:
    _ask_guest(who, instance_id, "GuestUpgrade")


def check_objects(who: Context, instance_id: str) -> None:
    _ask_guest(who, instance_id, "GuestObjectCheck")


def _ask_guest(who: Context, instance_id: str, kind: str) -> None:
    parts = services()
    op_id = new_id()
    with parts.database.write() as s:
        generation = reserve_for_restart(s, who, instance_id, op_id)
        op = Operation(op_id, instance_id, who.project_id, generation, who.request_id)
        row = Operations.record(s, kind, Job(op), who.caller)
    parts.operations.start(row)


def busy(instance_id: str, status: str) -> str:
    return f"Instance {instance_id} is not currently available for an action to be performed (status was {status})."


# -- rename


def rename(who: Context, instance_id: str, name: str) -> None:
    with services().database.write() as s:
        instances.find(s, who, instance_id)
        # The name that goes, even if somebody else's rename is just being committed.
        instance = s.get_one(Instance, instance_id, populate_existing=True, with_for_update=True)
        if instance.name == name:
            return
        renamed = Event(RENAMED, {"old_name": instance.name, "name": name})
        instance.name = name
        record(s, instance, [renamed])
