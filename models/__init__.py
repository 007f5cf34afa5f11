"""Rows.  Importing this package makes every table known to `Base.metadata`."""

from models.base import Base, Database
from models.datastore import Datastore, DatastoreVersion, FlavorRow
from models.instance import Instance, InstanceState
from models.operation import OperationRow, OperationState, OperationStep, StepState
from models.quota import QuotaLimit, QuotaUsage
from models.secret import SecretRow

__all__ = [
    "Base",
    "Database",
    "Datastore",
    "DatastoreVersion",
    "FlavorRow",
    "Instance",
    "InstanceState",
    "OperationRow",
    "OperationState",
    "OperationStep",
    "QuotaLimit",
    "QuotaUsage",
    "SecretRow",
    "StepState",
]
