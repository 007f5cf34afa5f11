"""Subscriptions to events, and what is told to them of requests and of the ends of operations."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.delivery import Delivery
from api.schemas import events as schemas
from messaging.bell import Bell
from models import OperationRow, OperationState
from models.event_types import TYPES
from tests.api.messaging.post_office import PostOffice
from tests.api.stand import CANARY, Asker, Plant, Stand
from tests.api.test_instances import fault

NOBODY = "99999999-9999-9999-9999-999999999999"


class Newsroom(PostOffice):
    """With the delivery at hand that a worker would do."""

    def __init__(self, plant: Plant, directory: Path) -> None:
        super().__init__(plant, directory)
        self.delivery = Delivery(self.database, self.parts.messaging, Bell(directory / "bell"), "RegionOne", 10)

    def subscribe(self, asker: Asker | None = None, **fields: Any) -> str:
        answer = (asker or self.alpha).post("/event-subscriptions", {"event_subscription": {"queue": "news", **fields}})
        assert answer.status_code == 201, answer.text
        return str(answer.json["event_subscription"]["id"])

    def news(self, queue: str = "news", asker: Asker | None = None) -> list[dict[str, Any]]:
        """What has been delivered to the queue by now, taken out of it."""
        while self.delivery.round():
            continue
        popped = self.parts.messaging.messages.pop((asker or self.alpha).project_id, queue, 100)
        return [message.body for message in popped]


@pytest.fixture
def office(plant: Plant, tmp_path: Path) -> Iterator[Newsroom]:
    office = Newsroom(plant, tmp_path)
    yield office
    plant.conf.clear_override("max_subscriptions", "events")
    office.close()


def types(news: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in news]


# -- subscriptions


def test_a_subscription_is_shown_changed_and_ended(office: Newsroom) -> None:
    instance_id = office.ready()
    id = office.subscribe(instance_id=instance_id, types=["instance.*", "operation.failed"], ttl=3600)
    shown = office.alpha.get(f"/event-subscriptions/{id}")
    assert schemas.SubscriptionBody().validate(shown.json) == {}
    view = shown.json["event_subscription"]
    wanted = {"queue": "news", "flavor": None, "instance_id": instance_id, "ttl": 3600, "waiting": 0, "status": "ACTIVE"}
    assert view.items() >= {**wanted, "reason": None, "retry_at": None, "dropped": 0, "user_id": "user-alpha"}.items()
    assert view["types"] == ["instance.*", "operation.failed"]
    change = {"event_subscription": {"types": None}}
    assert office.alpha.patch(f"/event-subscriptions/{id}", change).json["event_subscription"]["types"] is None
    assert office.alpha.delete(f"/event-subscriptions/{id}").status_code == 204
    assert office.alpha.get(f"/event-subscriptions/{id}").status_code == 404
    assert office.ada.get("/v2/queues/news").status_code == 200


def test_the_queue_is_made_in_its_flavor(office: Newsroom) -> None:
    office.parts.messaging.pools.put("quick", {"uri": office.uri("quick"), "weight": 100})
    office.parts.messaging.flavors.put("fast", ["quick"])
    office.subscribe(flavor="fast")
    assert office.ada.get("/v2/queues/news").json["_flavor"] == "fast"
    office.subscribe(flavor="fast", types=["instance.deleted"])
    office.subscribe()


def test_lists_are_paged_newest_first(office: Newsroom) -> None:
    made = [office.subscribe(queue=f"q{n}") for n in range(5)]
    office.subscribe(office.beta)
    seen, url = [], "/event-subscriptions?limit=2"
    while url:
        page = office.alpha.get(url).json
        assert schemas.SubscriptionPage().validate(page) == {}
        seen += [row["id"] for row in page["event_subscriptions"]]
        url = next((link["href"] for link in page.get("links", ())), "")
    assert seen == made[::-1]
    assert fault(office.alpha.get(f"/event-subscriptions?marker={NOBODY}"))[0] == "badRequest"


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"types": ["instance.exploded"]}, 400, "instance.created"),
        ({"types": ["backup.*"]}, 400, "instance.created"),
        ({"types": []}, 400, "types"),
        ({"types": "instance.created"}, 400, "types"),
        ({"queue": "no spaces"}, 400, "letters, digits"),
        ({"queue": ".."}, 400, "letters, digits"),
        ({"queue": ...}, 400, "queue"),
        ({"flavor": "golden"}, 400, "golden does not exist"),
        ({"instance_id": NOBODY}, 404, "cannot be found"),
        ({"ttl": 59}, 400, "ttl"),
        ({"ttl": 1209601}, 400, "ttl"),
        ({"more": 1}, 400, "more"),
    ],
)
def test_what_is_refused_says_what_to_do(office: Newsroom, fields: dict[str, Any], status: int, words: str) -> None:
    body = {name: value for name, value in {"queue": "news", **fields}.items() if value is not ...}
    answer = office.alpha.post("/event-subscriptions", {"event_subscription": body})
    assert answer.status_code == status
    assert words in fault(answer)[1]


def test_a_queue_of_another_flavor_is_a_conflict(office: Newsroom) -> None:
    office.parts.messaging.pools.put("quick", {"uri": office.uri("quick"), "weight": 100})
    office.parts.messaging.flavors.put("fast", ["quick"])
    office.ada.put("/v2/queues/news", {})
    answer = office.alpha.post("/event-subscriptions", {"event_subscription": {"queue": "news", "flavor": "fast"}})
    assert (answer.status_code, "name another queue" in fault(answer)[1]) == (409, True)


def test_a_project_has_so_many_subscriptions_whoever_asks_at_once(office: Newsroom) -> None:
    office.conf.set_override("max_subscriptions", 3, "events")
    with ThreadPoolExecutor(8) as pool:
        ask = {"event_subscription": {"queue": "news"}}
        answers = list(pool.map(lambda _: office.alpha.post("/event-subscriptions", ask), range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [413] * 5
    [id, *_] = [answer.json["event_subscription"]["id"] for answer in answers if answer.status_code == 201]
    office.alpha.delete(f"/event-subscriptions/{id}")
    office.subscribe()


def test_another_projects_subscription_is_not_there(office: Newsroom) -> None:
    instance_id, id = office.ready(), office.subscribe()
    change = {"event_subscription": {"types": None}}
    asks = [("GET", None), ("PATCH", change), ("DELETE", None)]
    assert [office.beta.ask(m, f"/event-subscriptions/{id}", body).status_code for m, body in asks] == [404] * 3
    theirs = {"event_subscription": {"queue": "q", "instance_id": instance_id}}
    assert office.beta.post("/event-subscriptions", theirs).status_code == 404
    assert office.beta.get("/event-subscriptions").json["event_subscriptions"] == []


# -- what is told


def test_the_life_of_an_instance(office: Newsroom) -> None:
    office.subscribe()
    instance_id = office.ready(users=[{"name": "u", "password": CANARY, "databases": []}], root_password=CANARY)
    office.alpha.put(f"/instances/{instance_id}", {"instance": {"name": "orders"}})
    office.alpha.put(f"/instances/{instance_id}", {"instance": {"name": "orders"}})
    office.alpha.post(f"/instances/{instance_id}/users", {"users": [{"name": "v", "password": CANARY}]})
    office.alpha.post(f"/instances/{instance_id}/action", {"restart": {}})
    office.temporal.finish(office.temporal.of("InstanceRestart")[0])
    office.alpha.delete(f"/instances/{instance_id}")
    office.temporal.finish(office.temporal.of("InstanceDelete")[0])
    news = office.news()
    assert types(news) == [
        *("operation.accepted", "operation.done", "instance.created", "trove.instance.create"),
        "instance.renamed",
        *("operation.accepted", "operation.done", "instance.changed"),
        *("operation.accepted", "operation.done", "instance.restarted"),
        *("operation.accepted", "operation.done", "instance.deleted", "trove.instance.delete"),
    ]
    assert [event["sequence"] for event in news] == list(range(1, len(news) + 1))
    assert len({event["id"] for event in news}) == len(news)
    assert {event["instance"]["id"] for event in news} == {instance_id}
    assert news[4]["payload"] == {"old_name": "db", "name": "orders"}
    assert [event["instance"]["name"] for event in news] == ["db"] * 4 + ["orders"] * 11
    assert news[7]["payload"] == {"change": "create_users"}
    assert CANARY not in str(news)
    assert set(types(news)) <= set(TYPES)


def test_an_event_says_of_whom_and_by_whom(office: Newsroom) -> None:
    office.subscribe(types=["instance.created", "trove.*"])
    created = office.alpha.create()
    office.temporal.finish(office.temporal.runs[0])
    told, usage = office.news()
    instance_id = created.json["instance"]["id"]
    assert told["operation"] == {
        "id": office.temporal.runs[0].operation_id,
        "kind": "InstanceCreate",
        "request_id": created.headers["X-Openstack-Request-Id"],
        "user_id": "user-alpha",
    }
    assert told["instance"] == {
        "id": instance_id,
        "name": "db",
        "datastore": {"type": "mariadb", "version": "10.11"},
        "flavor_id": "1",
        "volume": {"size": 1},
    }
    assert (told["project_id"], told["region"]) == (office.alpha.project_id, "RegionOne")
    assert told["time"].endswith("Z")
    same = {"instance_id": instance_id, "tenant_id": office.alpha.project_id, "user_id": "user-alpha", "region": "RegionOne"}
    size = {"instance_size": 512, "instance_type": "tiny", "instance_type_id": "1", "volume_size": 1, "state": "active"}
    assert usage["payload"].items() >= {**same, **size, "service_id": "ds-mariadb", "nova_instance_id": None}.items()


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_bad_end_is_told_with_its_reason(office: Newsroom, cancelled: bool) -> None:
    office.subscribe(types=["operation.failed", "operation.cancelled", "instance.*", "trove.*"])
    office.alpha.create()
    office.temporal.finish(office.temporal.runs[0], ApplicationError("no room", type="NoValidHost"), cancelled)
    [event] = office.news()
    error = {"type": "Cancelled", "message": "no room"} if cancelled else {"type": "NoValidHost", "message": "no room"}
    assert event["type"] == ("operation.cancelled" if cancelled else "operation.failed")
    assert event["payload"] == {"error": error}


def test_an_end_is_told_once_however_often_it_is_reported(office: Newsroom) -> None:
    office.subscribe(types=["operation.done"])
    instance_id = office.ready()
    run = office.temporal.runs[0]
    office.temporal.finish(run)
    assert types(office.news()) == ["operation.done"]
    assert office.instance(instance_id).event_sequence == 1


def test_a_reset_is_told_with_the_end_that_it_means(office: Newsroom) -> None:
    office.subscribe(types=["operation.cancelled", "instance.status_reset"])
    instance_id = office.ready()
    office.alpha.post(f"/instances/{instance_id}/action", {"restart": {}})
    [run] = office.temporal.of("InstanceRestart")
    with office.database.write() as s:
        s.get_one(OperationRow, run.operation_id).state = OperationState.RUNNING
    reset = office.alpha.post(f"/instances/{instance_id}/action", {"reset_status": {"force_delete": True}})
    assert reset.status_code == 202
    news = office.news()
    assert types(news) == ["operation.cancelled", "instance.status_reset"]
    assert news[0]["payload"]["error"]["type"] == "StatusReset"


def test_who_subscribed_to_one_instance_hears_of_no_other(office: Newsroom) -> None:
    mine, other = office.ready(), office.ready()
    office.subscribe(instance_id=mine, types=["instance.renamed"])
    office.subscribe(queue="all", types=["instance.renamed"])
    for id in (other, mine):
        office.alpha.put(f"/instances/{id}", {"instance": {"name": "new"}})
    assert [event["instance"]["id"] for event in office.news()] == [mine]
    everything = office.news("all")
    assert [event["instance"]["id"] for event in everything] == [other, mine]
    assert [event["sequence"] for event in everything] == [1, 1]


def test_an_event_is_the_same_in_all_queues(office: Newsroom) -> None:
    for queue in ("news", "copy"):
        office.subscribe(queue=queue)
    office.ready()
    assert office.news() == office.news("copy")


def test_a_project_hears_nothing_of_another(office: Newsroom) -> None:
    office.subscribe(office.beta, queue="theirs")
    office.subscribe()
    office.ready()
    office.ready(office.beta)
    assert {event["project_id"] for event in office.news()} == {office.alpha.project_id}
    assert {event["project_id"] for event in office.news("theirs", office.beta)} == {office.beta.project_id}
    assert office.news("theirs") == []


def test_a_refused_request_tells_nothing(office: Newsroom) -> None:
    office.subscribe()
    office.alpha.create(volume={"size": 999})
    office.alpha.create(flavorRef="none")
    assert office.news() == []


def test_without_subscriptions_a_change_costs_one_look(stand: Stand) -> None:
    instance_id = stand.ready()
    with stand.statements() as sent:
        stand.alpha.put(f"/instances/{instance_id}", {"instance": {"name": "new"}})
    about = [statement for statement in sent if "event" in statement and "FROM instances" not in statement]
    assert len(about) == 1
    assert "FROM event_subscriptions" in about[0]
