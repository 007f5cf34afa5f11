"""What guests tell of each real engine."""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.guest_agent.engines import ENGINES, rss_kb
from tests.guest_agent.receiver import Receiver, because, engine_is, open_receiver
from tests.guest_agent.server import Server, running_server, until

pytestmark = pytest.mark.engines

IDLE_RSS_KB = 45 * 1024
PERIOD = 1.0


@dataclass
class Heard:
    server: Server
    receiver: Receiver

    def so_far(self) -> int:
        return len(self.receiver.posts)

    def signal_engine(self, number: signal.Signals) -> None:
        os.kill(self.server.pid("engine"), number)


@pytest.fixture(scope="module", params=list(ENGINES))
def heard(request: pytest.FixtureRequest) -> Iterator[Heard]:
    with open_receiver() as receiver, running_server(request.param, telemetry=receiver.telemetry(PERIOD)) as server:
        server.run("prepare")
        receiver.wait(engine_is("running"))
        yield Heard(server, receiver)


def cpu_seconds(pid: int) -> float:
    """Of all threads that live."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def test_a_running_engine_is_told_with_its_version(heard: Heard) -> None:
    post = heard.receiver.wait(because("heartbeat"), heard.so_far())
    assert post.report["engine"] == {
        "state": "running",
        "wanted": True,
        "version": heard.server.call("engine.status")["version"],
        "deaths": 0,
    }
    assert post.report["root_enabled"] is False
    assert post.report["volume"]["used"] > 1 << 20


def test_an_engine_killed_by_hand_is_stopped_and_then_running_again(heard: Heard) -> None:
    before = heard.so_far()
    heard.signal_engine(signal.SIGKILL)
    stopped = heard.receiver.wait(engine_is("stopped"), before)
    assert stopped.report["engine"] == {"state": "stopped", "wanted": True, "version": None, "deaths": 1}
    assert (stopped.report["reason"], stopped.report["root_enabled"]) == ("engine", None)
    running = heard.receiver.wait(engine_is("running"), heard.receiver.posts.index(stopped))
    assert running.report["engine"]["deaths"] == 1
    assert running.at - stopped.at < 15


def test_a_frozen_engine_is_blocked_until_it_answers_again(heard: Heard) -> None:
    before = heard.so_far()
    heard.signal_engine(signal.SIGSTOP)
    try:
        blocked = heard.receiver.wait(engine_is("blocked"), before)
        assert (blocked.report["engine"]["wanted"], blocked.report["root_enabled"]) == (True, None)
        # The guest goes on to be heard, and to answer.
        heard.receiver.wait(because("heartbeat"), heard.receiver.posts.index(blocked))
        assert heard.server.call("job.status", job_id="none")["state"] == "not_started"
    finally:
        heard.signal_engine(signal.SIGCONT)
    assert heard.receiver.wait(engine_is("running"), heard.receiver.posts.index(blocked)).report["root_enabled"] is False


def test_a_frozen_engine_that_is_killed_comes_back(heard: Heard) -> None:
    before = heard.so_far()
    heard.signal_engine(signal.SIGSTOP)
    blocked = heard.receiver.wait(engine_is("blocked"), before)
    heard.signal_engine(signal.SIGKILL)
    stopped = heard.receiver.wait(engine_is("stopped"), heard.receiver.posts.index(blocked))
    heard.receiver.wait(engine_is("running"), heard.receiver.posts.index(stopped))


def test_root_is_told_with_the_job_that_enabled_it(heard: Heard) -> None:
    heard.server.run("enable_root", job_id="on", password="top")
    post = heard.receiver.wait(
        lambda post: any(job["job_id"] == "on" and job["state"] == "succeeded" for job in post.report["jobs"])
    )
    assert post.report["root_enabled"] is True
    before = heard.so_far()
    heard.server.run("disable_root")
    assert heard.receiver.wait(because("root"), before).report["root_enabled"] is False


def test_an_idle_guest_takes_next_to_no_cpu(heard: Heard) -> None:
    pid, before = heard.server.pid("agent"), heard.so_far()
    spent = cpu_seconds(pid)
    heard.receiver.wait(because("heartbeat"), before + 5)
    # Some 5 ms a report; who polls busily takes hundreds of times that.
    assert cpu_seconds(pid) - spent < 0.25


def test_the_agent_stays_small_and_no_thread_is_left_behind(heard: Heard) -> None:
    pid = heard.server.pid("agent")
    heard.receiver.wait(because("heartbeat"), heard.so_far() + 3)
    assert rss_kb(pid) < IDLE_RSS_KB
    # Jobs, three of telemetry, and the one that takes calls; calls themselves have just ended.
    until(lambda: len(os.listdir(f"/proc/{pid}/task")) == 5)  # noqa: PTH208
    with contextlib.closing(heard.server.agent()):
        until(lambda: len(os.listdir(f"/proc/{pid}/task")) == 6)  # noqa: PTH208
