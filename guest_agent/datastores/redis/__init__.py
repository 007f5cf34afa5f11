"""Redis."""

from guest_agent.datastores.redis.datastore import Redis

__all__ = ["Redis"]
