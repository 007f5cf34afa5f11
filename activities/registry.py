"""Builds the activity objects from their collaborators; the one list of what a worker can do."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.client import Client

from activities.cinder import CinderActivities
from activities.designate import DesignateActivities
from activities.drain import DrainActivities
from activities.duties import Duties, Periodic, Standing
from activities.events import EventActivities
from activities.guest import GuestActivities
from activities.messages import MessageActivities
from activities.neutron import NeutronActivities
from activities.nova import NovaActivities
from activities.objects import ObjectActivities
from activities.operations import OperationActivities
from activities.reconcile import ReconcileActivities
from activities.records import RecordActivities
from activities.renewal import RenewalActivities
from clouds.ports import Cloud
from messaging.bell import Bell
from messaging.service import Messaging
from models import Database
from telemetry.urls import GuestUrls


@dataclass(frozen=True)
class Collaborators:
    """What activities reach outside themselves."""

    database: Database
    cloud: Cloud
    guests: GuestActivities
    client: Client
    messaging: Messaging
    events: EventActivities
    bell: Bell
    urls: GuestUrls
    reconcile: ReconcileActivities
    guests_flavor: str = ""
    """Messaging flavor of guests' queues."""
    segment_size: int = 32 << 20
    """Bytes of a segment of an object."""
    object_url_lifetime: int = 3600
    """Seconds that the cloud's temporary URLs are valid."""
    silence: timedelta = timedelta(seconds=30)
    """For so long a guest may not be heard of before it is dialled."""


def activities(c: Collaborators) -> list[Callable[..., Any]]:
    messages = MessageActivities(c.database, c.messaging, c.urls.project, c.guests_flavor)
    objects = (
        RecordActivities(c.database),
        NovaActivities(c.cloud.compute, c.cloud.groups, c.cloud.server_changes, c.database, c.guests),
        CinderActivities(c.cloud.volumes, c.cloud.volume_changes, c.database),
        NeutronActivities(c.cloud.networks, c.cloud.access),
        DesignateActivities(c.cloud.names),
        ObjectActivities(c.cloud.objects, c.guests, c.database, c.segment_size, c.object_url_lifetime),
        OperationActivities(c.database, c.client),
        c.guests,
        messages,
        DrainActivities(c.database, c.messaging, c.client, c.urls, c.bell),
        RenewalActivities(c.database, c.guests, messages, c.urls, c.silence),
        c.events,
        c.reconcile,
    )
    return [method for thing in objects for method in _defined(thing)]


def duties(c: Collaborators) -> Duties:
    """What is to be done without anybody asking."""
    told, looks = c.events.duties(), c.reconcile.duties()
    return Duties(
        standing=[Standing("telemetry.drain", c.messaging.stores.names), *told.standing],
        periodic=[
            Periodic("telemetry.renew", c.silence),
            Periodic("messages.sweep", timedelta(minutes=1)),
            *told.periodic,
            *looks.periodic,
        ],
    )


def _defined(thing: object) -> list[Callable[..., Any]]:
    methods = (getattr(thing, name) for name in dir(type(thing)) if not name.startswith("_"))
    return [m for m in methods if hasattr(m, "__temporal_activity_definition")]
