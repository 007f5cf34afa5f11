"""Rows.  Importing this package makes every table known to `Base.metadata`."""

from models.base import Base, Database
from models.datastore import Datastore, DatastoreVersion, FlavorRow
from models.drift import DriftFinding
from models.event import EventSubscription, OutboxRow
from models.instance import Instance, InstanceState
from models.messaging import CatalogueRow, MessagingCounter, MessagingFlavorRow, PoolRow
from models.operation import OperationRow, OperationState, OperationStep, StepState
from models.quota import QuotaLimit, QuotaUsage
from models.secret import SecretRow
from models.telemetry import GuestTelemetry

__all__ = [
    "Base",
    "CatalogueRow",
    "Database",
    "Datastore",
    "DatastoreVersion",
    "DriftFinding",
    "EventSubscription",
    "FlavorRow",
    "GuestTelemetry",
    "Instance",
    "InstanceState",
    "MessagingCounter",
    "MessagingFlavorRow",
    "OperationRow",
    "OperationState",
    "OperationStep",
    "OutboxRow",
    "PoolRow",
    "QuotaLimit",
    "QuotaUsage",
    "SecretRow",
    "StepState",
]
