from tests.migrations.conftest import database, empty_url, server

__all__ = ["database", "empty_url", "server"]
