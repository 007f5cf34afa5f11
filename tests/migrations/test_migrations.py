"""The migrations build what the models say, forth and back, on every engine."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, select, text
from sqlalchemy.pool import NullPool

from migrations import runner
from models import Base, Database, Datastore, SecretRow


def tables(url: str) -> set[str]:
    return set(inspect(create_engine(url, poolclass=NullPool)).get_table_names()) - {"alembic_version"}


def test_schema_is_what_the_models_say(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_up_down_up(empty_url: str) -> None:
    everything = set(Base.metadata.tables)
    runner.upgrade(empty_url)
    assert tables(empty_url) == everything
    runner.downgrade(empty_url, "base")
    assert tables(empty_url) == set()
    assert runner.current(empty_url) is None
    runner.upgrade(empty_url)
    assert tables(empty_url) == everything


def test_pending_tells_what_an_upgrade_would_do(empty_url: str) -> None:
    steps = runner.pending(empty_url)
    assert steps[0] == "0001"
    runner.upgrade(empty_url, steps[0])
    assert runner.pending(empty_url) == steps[1:]
    runner.upgrade(empty_url)
    assert runner.pending(empty_url) == []
    assert runner.current(empty_url) == steps[-1]


def test_two_runners_take_turns(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(runner.upgrade, [empty_url] * 4))
    assert runner.pending(empty_url) == []


def test_a_newer_database_is_left_alone(database: Database) -> None:
    with database.write() as s:
        s.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for refuse in (runner.upgrade, runner.pending, lambda url: runner.downgrade(url, "base")):
        with pytest.raises(runner.DatabaseTooNew, match="9999"):
            refuse(database.url)
    assert tables(database.url) == set(Base.metadata.tables)


def test_needs_no_working_directory(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/coffer.db"
    code = "import sys; from migrations import runner; runner.upgrade(sys.argv[1]); print(runner.pending(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, url], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_values_come_back_as_they_went_in(database: Database) -> None:
    moment = datetime(2026, 11, 21, 1, 2, 3, 456789, tzinfo=UTC)
    with database.write() as s:
        s.add(SecretRow(id="s", owner="o", purpose="p", ciphertext=bytes(range(256)), created_at=moment))
        s.add_all([Datastore(id="1", name="Käse 🧀"), Datastore(id="2", name="KÄSE 🧀"), Datastore(id="3", name="käse 🧀")])
    with database.read() as s:
        secret = s.get_one(SecretRow, "s")
        assert secret.ciphertext == bytes(range(256))
        assert secret.created_at == moment
        assert s.scalars(select(Datastore.id).where(Datastore.name == "KÄSE 🧀")).all() == ["2"]


@pytest.mark.engines
@pytest.mark.parametrize("server", ["mariadb"], indirect=True)
def test_mariadb_tables_do_not_depend_on_the_servers_defaults(database: Database) -> None:
    settings = text(
        "SELECT table_name, engine, table_collation FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_name <> 'alembic_version'"
    )
    with database.read() as s:
        found = s.execute(settings).all()
    assert {name for name, *_ in found} == set(Base.metadata.tables)
    assert {(engine, collation) for _, engine, collation in found} == {("InnoDB", "utf8mb4_bin")}
