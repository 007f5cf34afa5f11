"""Builds the activity objects from their collaborators; the one list of what a worker can do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client

from activities.cinder import CinderActivities
from activities.duties import Duties
from activities.events import EventActivities
from activities.guest import GuestActivities
from activities.neutron import NeutronActivities
from activities.nova import NovaActivities
from activities.operations import OperationActivities
from activities.records import RecordActivities
from clouds.ports import Cloud
from messaging.service import Messaging
from models import Database


@dataclass(frozen=True)
class Collaborators:
    """What activities reach outside themselves."""

    database: Database
    cloud: Cloud
    guests: GuestActivities
    client: Client
    messaging: Messaging
    events: EventActivities


def activities(c: Collaborators) -> list[Callable[..., Any]]:
    objects = (
        RecordActivities(c.database),
        NovaActivities(c.cloud.compute, c.database, c.guests),
        CinderActivities(c.cloud.volumes),
        NeutronActivities(c.cloud.networks),
        OperationActivities(c.database, c.client),
        c.guests,
        c.events,
    )
    return [method for thing in objects for method in _defined(thing)]


def duties(c: Collaborators) -> Duties:
    """What is to be done without anybody asking."""
    return c.events.duties()


def _defined(thing: object) -> list[Callable[..., Any]]:
    methods = (getattr(thing, name) for name in dir(type(thing)) if not name.startswith("_"))
    return [m for m in methods if hasattr(m, "__temporal_activity_definition")]
