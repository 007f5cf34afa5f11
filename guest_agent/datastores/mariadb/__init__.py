"""MariaDB."""

from guest_agent.datastores.mariadb.datastore import MariaDB

__all__ = ["MariaDB"]
