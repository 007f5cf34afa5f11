"""PostgreSQL."""

from guest_agent.datastores.postgresql.datastore import PostgreSQL

__all__ = ["PostgreSQL"]
