"""Where a guest posts, when it tries again, and who may tell it otherwise."""

import json
import threading
from typing import Any

import pytest

from tests.guest_agent.receiver import SIGNATURE, Post, Receiver, because, open_receiver, refused, taken_in
from tests.guest_agent.server import RpcError, until
from tests.guest_agent.telling import LONG, guest, job, kept_files, kill_agent


def test_what_is_not_taken_in_is_tried_again_after_a_second(receiver: Receiver) -> None:
    receiver.answer = refused(503)
    with guest(receiver.telemetry(LONG)):
        receiver.wait(lambda post: True, after=2)
    first, second, third = (post.at for post in receiver.posts[:3])
    assert 0.8 < second - first < 1.8 < third - second


def test_what_is_not_found_is_tried_again_after_a_period(receiver: Receiver) -> None:
    receiver.answer = refused(404)
    with guest(receiver.telemetry(2)):
        receiver.wait(lambda post: True, after=1)
    assert receiver.posts[1].at - receiver.posts[0].at > 1.7


def test_a_guest_whose_signature_has_expired_is_told_a_new_one_and_posts_at_once(receiver: Receiver) -> None:
    def only_the_second_queue(handler: Any, post: Post) -> None:
        (taken_in if "guest-2" in post.path else refused(404))(handler, post)

    receiver.answer = only_the_second_queue
    with guest(receiver.telemetry(LONG)) as server:
        receiver.wait(because("start"))
        server.run("prepare", job_id="p")
        told = server.call("telemetry.configure", **receiver.telemetry(LONG, queue="guest-2"))
        assert told == {"epoch": 1, "number": 0}
        receiver.wait(lambda post: "guest-2" in post.path and job(post, "p").get("state") == "succeeded")
        until(lambda: server.call("telemetry.configure", **receiver.telemetry(LONG, queue="guest-2"))["number"] > 0)
        assert kept_files(server)["destination.json"] == receiver.telemetry(LONG, queue="guest-2")


def test_a_guest_that_was_told_nothing_posts_nothing_until_it_is(receiver: Receiver) -> None:
    with guest(None) as server:
        server.run("prepare")
        assert server.call("telemetry.configure", **receiver.telemetry()) == {"epoch": 1, "number": 0}
        first = receiver.wait(lambda post: True)
        assert (first.order, first.report["reason"], first.report["engine"]["state"]) == ((1, 1), "start", "running")
        receiver.wait(because("heartbeat"))


def test_a_guest_that_has_lost_its_count_goes_on_above_what_it_is_told(receiver: Receiver) -> None:
    settings = receiver.telemetry(LONG)
    with guest(settings) as server:
        receiver.wait(lambda post: post.order == (1, 1))
        server.call("telemetry.configure", **settings, epoch_above=41)
        raised = receiver.wait(lambda post: post.order[0] == 42)
        assert raised.report["reason"] == "start"
        server.call("telemetry.configure", **settings, epoch_above=41)
        until(lambda: server.call("telemetry.configure", **settings)["epoch"] == 42)
        kill_agent(server)
        receiver.wait(lambda post: post.order[0] == 43)


def test_another_period_counts_from_when_it_is_told(receiver: Receiver) -> None:
    with guest(receiver.telemetry(LONG)) as server:
        receiver.wait(because("start"))
        server.call("telemetry.configure", **receiver.telemetry(0.3))
        receiver.wait(because("heartbeat"))


def test_configure_takes_what_it_says_and_nothing_else(receiver: Receiver) -> None:
    good = receiver.telemetry()
    with guest(None) as server:
        for params in (
            {},
            {"post_to": good["post_to"]},
            {**good, "period": 0},
            {**good, "post_to": {**good["post_to"], "url": "file:///etc/passwd"}},
            {**good, "post_to": {**good["post_to"], "signature": f"{SIGNATURE}\r\nX: y"}},
            {**good, "more": 1},
            {**good, "epoch_above": -1},
            {**good, "epoch_above": 2**63 - 1},
        ):
            with pytest.raises(RpcError) as caught:
                server.call("telemetry.configure", **params)
            assert caught.value.type == "InvalidRequest"
            assert SIGNATURE not in str(caught.value)
        assert "destination.json" not in kept_files(server)


def test_an_answer_brings_the_next_signature_which_is_kept(receiver: Receiver) -> None:
    later = receiver.post_to("guest-2", expires="2030-02-01T00:00:00")

    def renew(handler: Any, post: Post) -> None:
        more = {} if "guest-2" in post.path else {"post_to": later}
        taken_in(handler, post, **more)

    receiver.answer = renew
    with guest(receiver.telemetry()) as server:
        renewed = receiver.wait(lambda post: "guest-2" in post.path)
        assert renewed.headers["URL-Expires"] == "2030-02-01T00:00:00"
        assert kept_files(server)["destination.json"] == {"post_to": later, "period": 0.3}
        kill_agent(server)
        assert "guest-2" in receiver.wait(lambda post: post.report["epoch"] == 2).path
        settings = server.path / "agent.json"
        latest = receiver.telemetry(queue="guest-3", expires="2030-03-01T00:00:00")
        settings.write_text(json.dumps({**json.loads(settings.read_text()), "telemetry": latest}))
        kill_agent(server)
        assert "guest-3" in receiver.wait(lambda post: post.report["epoch"] == 3).path


@pytest.mark.parametrize(
    "offered",
    [
        "http://127.0.0.1/",
        [],
        {"url": "http://127.0.0.1/"},
        {"url": "file:///etc/passwd", "signature": "x"},
        {"signature": "a\r\nX-Roles: admin"},
        {"url": "http://127.0.0.1:1/" + "x" * 5000},
    ],
)
def test_an_answer_that_offers_nonsense_changes_nothing(receiver: Receiver, offered: Any) -> None:
    good = receiver.post_to()
    offered = {**good, **offered} if isinstance(offered, dict) and len(offered) == 1 and "url" not in offered else offered
    receiver.answer = lambda handler, post: taken_in(handler, post, post_to=offered)
    with guest(receiver.telemetry(0.1)) as server:
        receiver.wait(because("heartbeat"), after=3)
        assert "destination.json" not in kept_files(server)


def test_a_damaged_memory_is_no_reason_to_be_silent(receiver: Receiver) -> None:
    with guest(receiver.telemetry()) as server:
        receiver.wait(because("start"))
        for name in ("destination.json", "report.json"):
            (server.path / "state" / "telemetry" / name).write_text('{"post_to": ')
        kill_agent(server)
        receiver.wait(lambda post: post.report["epoch"] == 2)


def test_a_receiver_that_never_answers_holds_up_nothing_and_hears_the_newest_next(receiver: Receiver) -> None:
    released = threading.Event()

    def hang(handler: Any, post: Post) -> None:
        released.wait(30)
        taken_in(handler, post)

    receiver.answer = hang
    with guest(receiver.telemetry(LONG)) as server:
        receiver.wait(because("start"))
        server.run("prepare")
        server.run("enable_root", password="top")
        server.run("stop", job_id="last")
        assert server.call("hello")["engine"] == "stopped"
        assert len(receiver.posts) == 1
        released.set()
        newest = receiver.wait(lambda post: job(post, "last").get("state") == "succeeded", after=1)
        # Not the dozen that were made meanwhile.
        assert receiver.posts.index(newest) <= 3


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    with open_receiver() as elsewhere:
        receiver.answer = refused(307, Location=f"{elsewhere.url}/messaging/v2/queues/guest-1/messages")
        with guest(receiver.telemetry(0.2)) as server:
            receiver.wait(lambda post: True, after=2)
            assert "answers 307" in server.logs()
        assert elsewhere.posts == []
