"""What reading costs: SQL statements and CPU of the API process per request."""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from flask.testing import FlaskClient
from oslo_config import cfg
from sqlalchemy import event, select

import config
from api.app import create_app
from benchmarks.stack import Stack
from logs import log_json
from models import Database, Datastore, DatastoreVersion, Instance, InstanceState
from models.base import new_id

REQUESTS = 100


def fill(database: Database, project_id: str, count: int) -> str:
    """`count` instances that only exist as rows; gives the id of one."""
    with database.write() as s:
        version = s.scalars(select(DatastoreVersion).join(Datastore.versions).where(Datastore.name == "mariadb")).first()
        for n in range(count):
            s.add(
                Instance(
                    id=new_id(),
                    project_id=project_id,
                    name=f"row-{n}",
                    state=InstanceState.READY,
                    flavor_id="1",
                    volume_size=1,
                    datastore_version_id=version.id if version else "",
                    addresses=[{"address": f"127.99.0.{n}", "type": "private", "network": None}],
                    quota_held=False,
                )
            )
        return str(s.scalars(select(Instance.id).where(Instance.project_id == project_id)).first())


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """The SQL statements that run meanwhile."""
    seen: list[str] = []

    def note(_c: object, _cur: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


def cpu_ms(do: Callable[[], None]) -> float:
    """Median CPU milliseconds of this process for one call."""
    times = []
    for _ in range(REQUESTS):
        begin = time.process_time()
        do()
        times.append((time.process_time() - begin) * 1000)
    return statistics.median(times)


@contextmanager
def logging_unseen(level: str) -> Iterator[None]:
    """The log that the API writes is part of what a request costs, but not of what is shown here."""
    with Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        log_json(level)
        yield


def rows(stack: Stack) -> list[tuple[str, str, str, bool]]:
    """(what, measured, goal, met), in process on the stack's own database, token check included."""
    conf = config.load(Path(stack.state) / "coffer.conf")
    conf.set_override("page_size", 100, "api")
    with logging_unseen(conf.log_level):
        return _measured(stack, conf)


def _measured(stack: Stack, conf: cfg.ConfigOpts) -> list[tuple[str, str, str, bool]]:
    database = Database(conf.database.connection)
    app = create_app(conf, database=database)
    client: FlaskClient = app.test_client()
    headers = {"X-Auth-Token": stack.token}
    base = f"/v1.0/{stack.project_id}"

    def get(path: str) -> Callable[[], None]:
        def request() -> None:
            answer = client.get(f"{base}{path}", headers=headers)
            if answer.status_code != 200:
                raise RuntimeError(answer.text)

        return request

    instance_id = fill(database, stack.project_id, 10)
    counts = {}
    for wanted in (10, 100):
        if wanted == 100:
            fill(database, stack.project_id, 90)
        get("/instances?limit=100")()
        with statements(database) as seen:
            get("/instances?limit=100")()
        counts[wanted] = len(seen)
    listing, one = cpu_ms(get("/instances?limit=100")), cpu_ms(get(f"/instances/{instance_id}"))
    return [
        ("GET instances, SQL statements with 10 rows", str(counts[10]), "<= 6", counts[10] <= 6),
        ("GET instances, SQL statements with 100 rows", str(counts[100]), "the same", counts[100] == counts[10]),
        ("GET instances with 100 rows, CPU ms", f"{listing:.1f}", "<= 12", listing <= 12),
        ("GET one instance, CPU ms", f"{one:.2f}", "<= 2", one <= 2),
    ]
