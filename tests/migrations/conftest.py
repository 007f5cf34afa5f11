"""Each test that asks for `empty_url` runs on SQLite, PostgreSQL and MariaDB."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from migrations import runner
from models import Database
from tests.support.databases import empty_database, mariadb, postgresql

SERVERS: dict[str, Callable[[], AbstractContextManager[str]]] = {"postgresql": postgresql, "mariadb": mariadb}
ENGINES = ["sqlite", *(pytest.param(name, marks=pytest.mark.engines) for name in SERVERS)]


@pytest.fixture(scope="session", params=ENGINES)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a running server; empty for SQLite, which has none."""
    if request.param == "sqlite":
        yield ""
        return
    with SERVERS[request.param]() as url:
        yield url


@pytest.fixture
def empty_url(server: str, tmp_path: Path) -> Iterator[str]:
    if not server:
        yield f"sqlite:///{tmp_path}/coffer.db"
        return
    with empty_database(server) as url:
        yield url


@pytest.fixture
def database(empty_url: str) -> Iterator[Database]:
    """A database at the newest schema."""
    runner.upgrade(empty_url)
    database = Database(empty_url)
    yield database
    database.close()
