"""Repairs that change an instance: each an operation of its own, recorded here and begun by the workers' dispatcher."""

from collections.abc import Sequence

from activities.drift import Finding
from activities.findings import Look
from api.operations import Caller, Operations
from models import Database, Instance
from models.base import new_id
from models.instance import Busy
from workflows.contracts import Operation, RepairInstance

OPERATOR = "coffer reconcile"


def begin_repairs(database: Database, now: Look, findings: Sequence[Finding]) -> dict[str, tuple[str, bool]]:
    """One for each instance, whatever was found of it: what is said of each finding, and whether all is well with it."""
    said: dict[str, tuple[str, bool]] = {}
    for instance_id in dict.fromkeys(found.instance for found in findings):
        outcome = _begin(database, now, instance_id)
        said |= {found.row_id: outcome for found in findings if found.instance == instance_id}
    return said


def _begin(database: Database, now: Look, instance_id: str) -> tuple[str, bool]:
    row, op_id = now.rows[instance_id], new_id()
    volume_key = row.sibling("volume")
    if volume_key not in now.held.keys("volume") or not row.server_key:
        return "its data volume is not there", False
    with database.write() as s:
        try:
            generation = Instance.reserve(s, instance_id, op_id)
        except Busy:
            return "something else runs on the instance", False
        if generation != row.generation + 1:
            s.rollback()
            return "something else has changed the instance meanwhile", False
        instance = s.get_one(Instance, instance_id)
        op = Operation(op_id, instance_id, instance.project_id, generation)
        job = RepairInstance(op, row.server_key, volume_key)
        Operations.record(s, "InstanceRepair", job, Caller(instance.project_id, OPERATOR, ""))
    return f"operation {op_id}", True
