"""Posting: at least once, held back when it fails, never in the way of others."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from messaging.errors import StoreUnavailable
from messaging.service import Messaging
from models import EventSubscription, PoolRow
from models.base import utcnow
from tests.events.conftest import PROJECT, Desk, names

pytestmark = pytest.mark.parametrize("server", ["sqlite"], indirect=True)


@pytest.fixture
def instance_id(desk: Desk) -> str:
    return desk.instance()


@pytest.fixture
def away(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Queues whose store gives no answer, and those whose store takes the post and then gives none."""
    queues: set[str] = set()
    post = desk.messaging.messages.post

    def failing(project: str, queue: str, *args: Any, **kwargs: Any) -> Any:
        if queue in queues:
            raise StoreUnavailable("the store is away")
        posted = post(project, queue, *args, **kwargs)
        if f"{queue} answers" in queues:
            raise StoreUnavailable("the answer is lost")
        return posted

    monkeypatch.setattr(desk.messaging.messages, "post", failing)
    return queues


def ripe(desk: Desk) -> None:
    """Let the pauses be over."""
    with desk.database.write() as s:
        s.execute(update(EventSubscription).values(retry_at=utcnow() - timedelta(seconds=1)))


def test_a_failing_subscription_is_held_back_and_keeps_no_other(desk: Desk, instance_id: str, away: set[str]) -> None:
    failing, _fine = desk.subscribe("failing"), desk.subscribe("fine")
    away.add("failing")
    pauses = []
    for number in range(4):
        desk.rename(instance_id, str(number))
        assert desk.delivery.round() == 1
        assert desk.delivery.round() == 0
        row = desk.subscription(failing)
        assert row.retry_at is not None
        pauses.append(round((row.retry_at - utcnow()).total_seconds()))
        ripe(desk)
    assert (row.failures, row.reason) == (4, "the store is away")
    assert pauses == [1, 2, 4, 8]
    away.clear()
    assert desk.delivery.round() == 4
    assert names(desk.news("failing")) == names(desk.news("fine")) == ["0", "1", "2", "3"]
    row = desk.subscription(failing)
    assert (row.failures, row.retry_at, row.reason) == (0, None, "")


def test_a_post_whose_answer_was_lost_is_repeated(desk: Desk, instance_id: str, away: set[str]) -> None:
    desk.subscribe()
    away.add("news answers")
    for number in range(2):
        desk.rename(instance_id, str(number))
        desk.delivery.round()
        ripe(desk)
    away.clear()
    desk.delivery.round()
    news = desk.news()
    assert names(news) == ["0", "0", "1", "0", "1"]
    assert len({event["id"] for event in news}) == 2


def test_a_queue_that_cannot_be_made_says_why(desk: Desk, instance_id: str) -> None:
    id = desk.subscribe(flavor="gone")
    desk.rename(instance_id, "x")
    assert desk.delivery.round() == 0
    assert desk.subscription(id).reason == "Flavor gone does not exist."


def test_of_too_many_the_oldest_are_given_up_and_counted(desk: Desk, instance_id: str, away: set[str]) -> None:
    id = desk.subscribe()
    other = desk.subscribe("other")
    away.update({"news", "other"})
    delivery = desk.deliverer(most_waiting=3)
    for number in range(5):
        desk.rename(instance_id, str(number))
    delivery.round()
    assert (desk.subscription(id).dropped, desk.subscription(other).dropped) == (2, 2)
    desk.rename(instance_id, "5")
    ripe(desk)
    delivery.round()
    assert desk.subscription(id).dropped == 3
    away.clear()
    ripe(desk)
    assert delivery.round() == 6
    assert names(desk.news()) == ["3", "4", "5"]


def test_a_queue_that_was_deleted_is_made_again(desk: Desk, instance_id: str) -> None:
    desk.messaging.pools.put("quick", {"uri": f"sqlite:///{desk.directory}/quick.db", "weight": 100})
    desk.messaging.flavors.put("fast", ["quick"])
    desk.subscribe(flavor="fast")
    for number in range(2):
        desk.rename(instance_id, str(number))
        assert desk.delivery.round() == 1
        assert desk.messaging.queues.get(PROJECT, "news").metadata == {"_flavor": "fast"}
        desk.messaging.queues.delete(PROJECT, "news")


def test_messages_stay_as_long_as_the_subscription_says(desk: Desk, instance_id: str) -> None:
    desk.subscribe(ttl=1209600)
    desk.rename(instance_id, "x")
    desk.delivery.round()
    [message] = desk.messaging.messages.list(PROJECT, "news", echo=True).items
    assert message.ttl == 1209600


def test_a_round_ends_when_it_is_told_to(desk: Desk, instance_id: str) -> None:
    for queue in "ab":
        desk.subscribe(queue)
    desk.rename(instance_id, "x")
    answers = iter([True, False])
    assert desk.delivery.round(lambda: next(answers)) == 1


def test_a_long_backlog_goes_in_batches(desk: Desk, instance_id: str) -> None:
    desk.subscribe()
    for number in range(205):
        desk.rename(instance_id, str(number))
    assert [desk.delivery.round() for _ in range(4)] == [100, 100, 5, 0]
    assert [event["sequence"] for event in desk.news()] == list(range(1, 206))


def test_a_pool_that_cannot_be_unsealed_keeps_no_other(desk: Desk, instance_id: str) -> None:
    """Its URI was sealed with a key that this worker does not have."""
    desk.messaging.pools.put("locked", {"uri": f"sqlite:///{desk.directory}/locked.db", "weight": 100, "flavor": "secret"})
    desk.messaging.flavors.put("secret", ["locked"])
    desk.messaging.queues.put(PROJECT, "hidden", {"_flavor": "secret"})
    hidden, _news = desk.subscribe("hidden", flavor="secret"), desk.subscribe()
    with desk.database.write() as s:
        s.get_one(PoolRow, "locked").uri_sealed = b"\x04gone" + bytes(40)
    desk.messaging.close()
    desk.messaging = Messaging(desk.database, desk.messaging.stores._keyring)
    desk.rename(instance_id, "x")
    assert desk.deliverer().round() == 1
    assert "keyring" in desk.subscription(hidden).reason
