"""The compare-and-sets of models/ let exactly as many through as they should, on every engine."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from models import Database, Datastore, DatastoreVersion, Instance, QuotaUsage
from models.instance import Busy
from models.quota import QuotaExceeded, release, reserve

THREADS = 20
LIMITS = {"instances": 5, "volumes": 40}
WANTED = {"instances": 1, "volumes": 2}


def at_once(database: Database, attempt: Callable[[int], str]) -> Counter[str]:
    """Run `attempt` in all threads at the same moment and count the outcomes."""
    _connect(database)
    start = threading.Barrier(THREADS)

    def run(number: int) -> str:
        start.wait(30)
        return attempt(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return Counter(pool.map(run, range(THREADS)))


def _connect(database: Database) -> None:
    """Fill the pool beforehand, or the time that connecting takes would keep the threads apart."""
    with ExitStack() as connections:
        for _ in range(10):
            connections.enter_context(database.engine.connect())


def usage(database: Database) -> dict[str, int]:
    with database.read() as s:
        return {name: s.get_one(QuotaUsage, ("project", name)).in_use for name in LIMITS}


def test_quota_of_a_new_project_is_never_passed(database: Database) -> None:
    def attempt(_number: int) -> str:
        try:
            with database.write() as s:
                reserve(s, "project", WANTED, LIMITS)
        except QuotaExceeded:
            return "refused"
        return "won"

    assert at_once(database, attempt) == {"won": 5, "refused": 15}
    assert usage(database) == {"instances": 5, "volumes": 10}


def test_a_project_over_one_quota_holds_none(database: Database) -> None:
    with database.write() as s:
        reserve(s, "project", {"volumes": 39}, LIMITS)

    def attempt(_number: int) -> str:
        try:
            with database.write() as s:
                reserve(s, "project", WANTED, LIMITS)
        except QuotaExceeded as refused:
            return str(refused.resources)
        return "won"

    assert at_once(database, attempt) == {"['volumes']": THREADS}
    with database.read() as s:
        assert s.get(QuotaUsage, ("project", "instances")) is None


def test_quota_given_back_is_counted_once_each(database: Database) -> None:
    with database.write() as s:
        reserve(s, "project", {"instances": THREADS, "volumes": THREADS}, {})

    def attempt(_number: int) -> str:
        with database.write() as s:
            release(s, "project", {"instances": 1, "volumes": 1})
        return "released"

    assert at_once(database, attempt) == {"released": THREADS}
    assert usage(database) == {"instances": 0, "volumes": 0}


def test_one_operation_gets_the_instance(database: Database) -> None:
    add_instance(database)

    def attempt(number: int) -> str:
        try:
            with database.write() as s:
                generation = Instance.reserve(s, "i", f"operation-{number}")
        except Busy:
            return "busy"
        return f"won generation {generation}"

    assert at_once(database, attempt) == {"won generation 1": 1, "busy": THREADS - 1}


def test_one_deletion_gets_the_instance_even_while_it_is_held(database: Database) -> None:
    add_instance(database)
    with database.write() as s:
        Instance.reserve(s, "i", "create")

    def attempt(number: int) -> str:
        try:
            with database.write() as s:
                generation = Instance.reserve_for_delete(s, "i", f"delete-{number}")
        except Busy:
            return "busy"
        return f"won generation {generation}"

    assert at_once(database, attempt) == {"won generation 2": 1, "busy": THREADS - 1}


def add_instance(database: Database) -> None:
    with database.write() as s:
        s.add(Datastore(id="d", name="mariadb"))
        s.flush()
        s.add(DatastoreVersion(id="v", datastore_id="d", name="10.11", version="10.11", manager="mariadb"))
        s.flush()
        s.add(Instance(id="i", project_id="project", name="db", flavor_id="f", volume_size=1, datastore_version_id="v"))
