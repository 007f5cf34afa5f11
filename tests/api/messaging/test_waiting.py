"""`wait=`: answered as soon as there is something, cheap while there is nothing, and not without bound."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api.messaging.waiting import Queue, Waiters
from messaging.bell import Bell, sweep
from messaging.errors import StoreUnavailable
from tests.api.messaging.post_office import PostOffice

CLAIM, LIST = "/v2/queues/orders/claims?wait=30", "/v2/queues/orders/messages?echo=1&wait=30"


def nothing(_queues: object) -> dict[Queue, float]:
    """No queue has a message, as far as the store knows."""
    return {}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@contextmanager
def waiting(office: PostOffice, path: str, count: int = 1) -> Iterator[list[Future[TestResponse]]]:
    """Requests that wait."""
    method = "POST" if "claims" in path else "GET"
    before = office.parts.waiters.count()
    with ThreadPoolExecutor(count) as pool:
        asked = [pool.submit(office.ada.ask, method, path) for _ in range(count)]
        until(lambda: office.parts.waiters.count() == before + count)
        yield asked


@pytest.mark.parametrize("path", [CLAIM, LIST])
def test_a_post_ends_the_wait(office: PostOffice, path: str) -> None:
    office.ada.put("/v2/queues/orders")
    with waiting(office, path) as [asked]:
        office.ada.say("other", 1)
        assert not asked.done()
        began = time.monotonic()
        office.ada.say("orders", 2)
        answer = asked.result(10)
        assert time.monotonic() - began < 1.8
    assert [m["body"] for m in answer.json["messages"]] == [2]
    assert office.parts.waiters.count() == 0


def test_what_is_there_is_not_waited_for(office: PostOffice) -> None:
    office.ada.say("orders", 1)
    began = time.monotonic()
    assert office.ada.get(LIST).json["messages"]
    assert office.ada.post(CLAIM).status_code == 201
    assert time.monotonic() - began < 1


def test_a_wait_that_ends_with_nothing(office: PostOffice) -> None:
    began = time.monotonic()
    assert office.ada.post("/v2/queues/orders/claims?wait=1").status_code == 204
    assert office.ada.get("/v2/queues/orders/messages?wait=1").json == {"messages": [], "links": []}
    assert 2 <= time.monotonic() - began < 4


def test_a_released_claim_ends_the_wait(office: PostOffice) -> None:
    office.ada.say("orders", 1)
    claim, _ = office.ada.claim("orders")
    with waiting(office, CLAIM) as [asked]:
        office.ada.delete(f"/v2/queues/orders/claims/{claim}")
        assert asked.result(10).status_code == 201


def test_one_message_ends_one_wait(office: PostOffice) -> None:
    with waiting(office, "/v2/queues/orders/claims?wait=2", count=2) as asked:
        office.ada.say("orders", 1)
        assert sorted(one.result(10).status_code for one in asked) == [201, 204]


def test_too_many(office: PostOffice) -> None:
    most = office.parts.waiters.most
    with waiting(office, f"{CLAIM}&limit=1", count=most) as asked:
        answer = office.ada.post(CLAIM)
        assert (answer.status_code, answer.json["title"]) == (503, "Service temporarily unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert office.ada.post("/v2/queues/orders/claims").status_code == 204
        office.ada.say("orders", *range(most))
        assert {one.result(10).status_code for one in asked} == {201}
    assert office.ada.post("/v2/queues/orders/claims?wait=1").status_code == 204


def test_a_delay_that_ends_wakes_whoever_waits(office: PostOffice) -> None:
    office.ada.put("/v2/queues/orders", {"_default_message_delay": 1})
    with waiting(office, CLAIM) as [asked]:
        office.ada.say("orders", 1)
        began = time.monotonic()
        assert asked.result(10).status_code == 201
        assert 0.5 < time.monotonic() - began < 3


def test_posts_that_ring_no_bell_here_are_found_by_one_look_for_all(tmp_path: Path) -> None:
    there, looks = threading.Event(), []

    def due(queues: Collection[Queue]) -> dict[Queue, float]:
        looks.append(sorted(queues))
        return {("p", "a"): 0.0} if there.is_set() else {}

    waiters = Waiters(2, Bell(tmp_path / "bell"), due, slow_look=0.2)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(waiters.until, "p", queue, there.is_set, 5) for queue in "ab"]
        until(lambda: [("p", "a"), ("p", "b")] in looks)
        there.set()
        assert asked[0].result(3) is True
        waiters.ring("p", "b")
    waiters.close()


def test_the_look_for_all_goes_on_when_a_store_has_been_away(tmp_path: Path) -> None:
    answers: list[Any] = [StoreUnavailable("away"), {("p", "q"): 0.0}]
    mine: list[Any] = [{}, {}]

    def due(_queues: object) -> dict[Queue, float]:
        answer = (answers if threading.current_thread().name == "lookout" else mine).pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    waiters = Waiters(1, Bell(tmp_path / "bell"), due, slow_look=0.1)
    assert waiters.until("p", "q", lambda: not answers, 10) is True
    waiters.close()


def test_waiting_costs_next_to_nothing(tmp_path: Path) -> None:
    waiters, looks = Waiters(1, Bell(tmp_path / "bell"), nothing), []
    spent = time.thread_time()
    waiters.until("p", "q", lambda: looks.append(1), 3)
    assert (time.thread_time() - spent) * 1000 < 2
    assert len(looks) == 2
    waiters.close()


def test_other_processes_are_heard(tmp_path: Path) -> None:
    """Two bells in one directory stand for two processes."""
    ours, theirs = Waiters(1, Bell(tmp_path / "bell"), nothing), Waiters(1, Bell(tmp_path / "bell"), nothing)
    there = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ours.until, "p", "q", there.is_set, 30)
        until(lambda: ours.count() == 1 and any((tmp_path / "bell").iterdir()))
        there.set()
        began = time.monotonic()
        theirs.ring("p", "q")
        assert asked.result(10) is True
    assert time.monotonic() - began < 1.8
    ours.close()
    theirs.close()
    assert not (tmp_path / "bell").exists()


def test_who_is_gone_is_forgotten(tmp_path: Path) -> None:
    directory = tmp_path / "bell"
    gone = Bell(directory)
    with gone._bind():
        pass
    assert len(list(directory.iterdir())) == 1
    Bell(directory).ring("p", "q")
    assert list(directory.iterdir()) == []


def test_what_processes_that_were_killed_have_left_goes_with_the_next_one(tmp_path: Path) -> None:
    killed, empty, living, others = (tmp_path / f"coffer-bell-{os.getuid()}-{name}" for name in ("k", "e", "l", "o"))
    with Bell(killed)._bind():
        pass
    empty.mkdir()
    others.mkdir()
    (others / "file").touch()
    bell = Bell(living)
    bell.listen(lambda project, queue: None)
    assert set(tmp_path.iterdir()) == {living, others}
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {living, others}
    bell.close()
    assert set(tmp_path.iterdir()) == {others}


def test_a_process_that_ends_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / f"coffer-bell-{os.getuid()}-p"
    code = "import sys, pathlib; from messaging.bell import Bell; Bell(pathlib.Path(sys.argv[1])).listen(print); print('listens')"
    done = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=True)
    assert (done.stdout, place.exists()) == ("listens\n", False)


def test_a_directory_that_others_can_write_to_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "bell").mkdir(mode=0o777)
    (tmp_path / "bell").chmod(0o777)
    bell = Bell(tmp_path / "bell")
    bell.listen(lambda project, queue: None)
    assert list((tmp_path / "bell").iterdir()) == []
