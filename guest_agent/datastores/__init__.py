"""The engines this agent can run. A module, and its driver with it, is imported only where its engine is in use."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from guest_agent.errors import InvalidRequest
from guest_agent.services import Services
from guest_agent.settings import Settings

if TYPE_CHECKING:
    from guest_agent.datastores.base import Datastore

MANAGERS: Mapping[str, str] = {
    "mariadb": "guest_agent.datastores.mariadb:MariaDB",
    "postgresql": "guest_agent.datastores.postgresql:PostgreSQL",
    "redis": "guest_agent.datastores.redis:Redis",
}


def load(settings: Settings, services: Services, managers: Mapping[str, str] = MANAGERS) -> "Datastore":
    if settings.manager not in managers:
        raise InvalidRequest(f"This agent has no datastore manager {settings.manager!r}.")
    module, _, name = managers[settings.manager].partition(":")
    datastore: Datastore = getattr(import_module(module), name)(settings, services)
    return datastore
