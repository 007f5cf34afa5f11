"""What a guest tells unasked, as the receiving end hears it. The engine is the stub's, the agent and init are real."""

import json
import os
import signal

from tests.guest_agent.receiver import Receiver, because, engine_is
from tests.guest_agent.server import until
from tests.guest_agent.telling import LONG, THROUGH, ended_in, guest, job, kept_files, kill_agent


def test_a_report_is_as_the_contract_has_it(receiver: Receiver) -> None:
    with guest(receiver.telemetry()) as server:
        server.run("prepare", job_id="6f-prepare", generation=3)
        post = receiver.wait(lambda post: job(post, "6f-prepare").get("state") == "succeeded" and because("heartbeat")(post))
        hello = server.call("hello")
    assert post.path == "/messaging/v2/queues/guest-1/messages"
    signed = {name: post.headers[name] for name in ("X-Project-ID", "URL-Paths", "URL-Methods", "URL-Expires", "URL-Signature")}
    assert list(signed.values()) == list(receiver.post_to().values())[1:]
    assert post.headers["Content-Type"] == "application/json"
    assert len(post.headers["Client-ID"]) == 36
    [message] = post.body["messages"]
    assert message["ttl"] == 300
    report = post.report
    assert list(report["volume"]) == ["total", "used"]
    assert 0 < report["volume"]["used"] < report["volume"]["total"]
    assert len(report["load"]) == 3
    assert post.order > (1, 1)
    told = {name: report[name] for name in report if name not in ("volume", "load", "number")}
    assert told == {
        "v": 1,
        "instance_id": hello["instance_id"],
        "epoch": 1,
        "reason": "heartbeat",
        "agent": hello["agent"],
        "boot_id": hello["boot_id"],
        "generation": 3,
        "engine": {"state": "running", "wanted": True, "version": "1.0", "deaths": 0},
        "root_enabled": False,
        "jobs": [
            {
                "job_id": "6f-prepare",
                "kind": "prepare",
                "state": "succeeded",
                "revision": 8,
                "progress": {"step": "root", "done": 7, "total": 7},
            }
        ],
    }


def test_the_first_report_says_that_there_is_no_engine_yet(receiver: Receiver) -> None:
    with guest(receiver.telemetry(LONG)):
        first = receiver.wait(because("start"))
        assert first.order == (1, 1)
        assert first.report["engine"] == {"state": "none", "wanted": False, "version": None, "deaths": 0}
        assert (first.report["root_enabled"], first.report["jobs"]) == (None, [])


def test_reports_come_every_period(receiver: Receiver) -> None:
    with guest(receiver.telemetry(0.2)):
        until(lambda: len(receiver.posts) >= 12)
    beats = [post.at for post in receiver.posts if because("heartbeat")(post)]
    assert 0.15 < (beats[-1] - beats[0]) / (len(beats) - 1) < 0.4
    assert receiver.orders() == [(1, number) for number in range(1, len(receiver.posts) + 1)]


def test_a_jobs_progress_and_end_are_told_at_once_and_its_secrets_never(receiver: Receiver) -> None:
    with guest(receiver.telemetry(LONG)) as server:
        receiver.wait(because("start"))
        server.run("prepare", job_id="p", users=[{"name": "ada", "password": "canary"}])
        assert job(receiver.wait(lambda post: job(post, "p").get("state") == "in_progress"), "p")["kind"] == "prepare"
        end = receiver.wait(lambda post: job(post, "p").get("state") == "succeeded")
        assert job(end, "p")["progress"]["done"] == 7
        # Whoever hears of the end hears the truth about the engine with it.
        assert end.report["engine"]["state"] == "running"
        server.start("create_users", "twice", users=[{"name": "ada", "password": "canary"}])
        failed = receiver.wait(lambda post: job(post, "twice").get("state") == "failed")
        assert set(job(failed, "twice")) == {"job_id", "kind", "state", "revision", "progress"}
        assert [one["job_id"] for one in failed.report["jobs"]] == ["twice"]
    assert "canary" not in json.dumps([post.body for post in receiver.posts])


def test_of_very_many_jobs_the_first_are_told(receiver: Receiver) -> None:
    with guest(receiver.telemetry(LONG)) as server:
        server.run("prepare", job_id="done")
        os.kill(server.pid("engine"), signal.SIGSTOP)
        names = [f"j{number}" for number in range(40)]
        for name in names:
            server.start("create_databases", name, databases=[{"name": name}])
        full = receiver.wait(lambda post: len(post.report["jobs"]) == 32)
        assert [one["job_id"] for one in full.report["jobs"]] == ["done", *names[:31]]
        os.kill(server.pid("engine"), signal.SIGCONT)
        last = receiver.wait(lambda post: job(post, "j39").get("state") == "succeeded", timeout=40)
        assert len(last.report["jobs"]) == 1


def test_a_job_is_heard_to_its_end_though_the_agent_dies_inside_it(receiver: Receiver) -> None:
    with guest(receiver.telemetry(LONG)) as server:
        receiver.wait(because("start"))
        server.start("prepare", "p")
        for _ in range(2):
            kill_agent(server)
        server.wait("p")
        end = receiver.wait(lambda post: job(post, "p").get("state") == "succeeded")
        assert end.report["epoch"] == 3
    assert receiver.orders() == sorted(set(receiver.orders()))


def test_root_is_told_as_soon_as_it_is_enabled_or_disabled(receiver: Receiver) -> None:
    with guest(receiver.telemetry(LONG)) as server:
        server.run("prepare")
        assert receiver.wait(engine_is("running")).report["root_enabled"] is False
        server.run("enable_root", job_id="on", password="top")
        on = receiver.wait(lambda post: post.report["root_enabled"] is True)
        receiver.wait(lambda post: job(post, "on").get("state") == "succeeded")
        server.run("disable_root")
        off = receiver.wait(lambda post: post.report["root_enabled"] is False, after=receiver.posts.index(on))
        # Of two reports that wait to be posted the newer one goes, with its own reason.
        assert {on.report["reason"], off.report["reason"]} <= {"root", "job"}


def test_an_engine_that_is_stopped_is_not_wanted(receiver: Receiver) -> None:
    with guest(receiver.telemetry(LONG)) as server:
        server.run("prepare")
        running = receiver.wait(engine_is("running"))
        server.run("stop")
        stopped = receiver.wait(engine_is("stopped"), after=receiver.posts.index(running))
        assert stopped.report["engine"] == {"state": "stopped", "wanted": False, "version": None, "deaths": 0}
        assert stopped.report["root_enabled"] is None
        server.run("start", job_id="again")
        started = receiver.wait(lambda post: job(post, "again").get("state") == "succeeded")
        assert started.report["engine"] == {"state": "running", "wanted": True, "version": "1.0", "deaths": 0}


def test_an_engine_that_never_becomes_ready_is_blocked_not_running(receiver: Receiver) -> None:
    with guest(receiver.telemetry(0.3)) as server:
        server.run("prepare")
        server.run("stop", job_id="stop")
        stopped = receiver.wait(lambda post: job(post, "stop").get("state") == "succeeded")
        unit = {"argv": ["sleep", "1000"], "type": "notify", "start_timeout": 60}
        after = receiver.posts.index(stopped)
        with server.init_client() as init, server.init_client() as starter:
            init.call("define", name="engine", unit=unit)
            starter.socket.sendall(b'{"id": 1, "method": "start", "params": {"name": "engine"}}\n')
            receiver.wait(engine_is("blocked"), after)
            os.kill(server.pid("engine"), signal.SIGKILL)
            died = receiver.wait(lambda post: post.report["engine"]["deaths"] == 1, after)
        assert died.report["engine"]["state"] == "stopped"
        assert not any(map(engine_is("running"), receiver.posts[after:]))


def test_agents_are_counted_and_their_reports_never_go_back(receiver: Receiver) -> None:
    with guest(receiver.telemetry()) as server:
        server.run("prepare")
        for epoch in (2, 3, 4):
            kill_agent(server)
            receiver.wait(lambda post, epoch=epoch: post.order == (epoch, 1))
        last = receiver.wait(lambda post: post.report["epoch"] == 4 and because("heartbeat")(post))
        assert last.report["engine"] == {"state": "running", "wanted": True, "version": "1.0", "deaths": 0}
        server.power_off()
        server.boot()
        booted = receiver.wait(lambda post: post.order == (5, 1))
        assert booted.report["boot_id"] != last.report["boot_id"]
    assert receiver.orders() == sorted(set(receiver.orders()))


def test_deaths_are_counted_though_the_agent_was_dead_too(receiver: Receiver) -> None:
    with guest(receiver.telemetry()) as server:
        server.run("prepare")
        receiver.wait(engine_is("running"))
        agent, engine = server.pid("agent"), server.pid("engine")
        os.kill(agent, signal.SIGSTOP)
        os.kill(engine, signal.SIGKILL)
        with server.init_client() as init:
            until(lambda: init.call("status", name="engine")["deaths"] == 1)
        os.kill(agent, signal.SIGKILL)
        receiver.wait(lambda post: post.report["epoch"] == 2 and post.report["engine"]["deaths"] == 1)


def test_while_nobody_listens_the_newest_report_takes_the_place_of_all_others(receiver: Receiver) -> None:
    with guest(receiver.telemetry(0.3)) as server:
        receiver.wait(because("start"))
        receiver.close()
        before = len(receiver.posts)
        server.run("prepare")
        server.run("enable_root", password="top")
        server.run("stop", job_id="last")
        until(lambda: ended_in("last", kept_files(server).get("report.json")))
        receiver.open()
        first = receiver.wait(lambda post: True, after=before)
        assert first.report["engine"] == {"state": "stopped", "wanted": False, "version": None, "deaths": 0}
        assert job(first, "last")["state"] == "succeeded"
        until(lambda: "report.json" not in kept_files(server))
        # Each complaint is told once, however often it is tried.
        told = [line.partition("telemetry: ")[2] for line in server.logs().splitlines() if "telemetry: " in line]
        assert told[-1] == THROUGH
        assert f"reports do not get through to 127.0.0.1:{receiver.address[1]}: ConnectionRefusedError" in told
        assert len(told) == len(set(told))
    assert receiver.orders() == sorted(set(receiver.orders()))


def test_a_report_that_could_not_be_posted_outlives_the_agent(receiver: Receiver) -> None:
    with guest(receiver.telemetry(LONG)) as server:
        server.run("prepare")
        receiver.wait(engine_is("running"))
        receiver.close()
        before = len(receiver.posts)
        server.run("enable_root", password="top")
        until(lambda: kept_files(server).get("report.json", {}).get("root_enabled"))
        kept = kept_files(server)["report.json"]
        # Until the next agent knows better, which a frozen engine makes it wait for.
        os.kill(server.pid("engine"), signal.SIGSTOP)
        kill_agent(server)
        receiver.open()
        assert receiver.wait(lambda post: True, after=before).report == kept
        assert receiver.wait(lambda post: post.order == (2, 1)).report["engine"]["state"] == "blocked"
        os.kill(server.pid("engine"), signal.SIGCONT)


def test_a_report_of_before_the_last_boot_is_not_told_any_more(receiver: Receiver) -> None:
    with guest(receiver.telemetry(LONG)) as server:
        receiver.wait(because("start"))
        receiver.close()
        before = len(receiver.posts)
        server.run("prepare")
        until(lambda: kept_files(server).get("report.json"))
        server.power_off()
        receiver.open()
        server.boot()
        assert receiver.wait(lambda post: True, after=before).order == (2, 1)
        until(lambda: "report.json" not in kept_files(server))
