"""coffer events subscribe, list, unsubscribe, tail."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import click

from cli.output import json_option, show, show_one, state_option
from cli.rest import CLOUD, Api, call, sign_in
from cli.statedir import resolve

COLUMNS = ("id", "queue", "flavor", "instance_id", "types", "status", "reason", "dropped")
WAIT, CLAIMED_FOR, AT_ONCE = 20, 60, 20
PATH = "/event-subscriptions"


def cloud_options(command: Callable[..., Any]) -> Callable[..., Any]:
    what = "Whose events: a cloud of the state directory's clouds.yaml."
    return state_option(
        click.option("--os-cloud", "cloud", default=CLOUD, show_default=True, envvar="OS_CLOUD", help=what)(command)
    )


@click.group()
def events() -> None:
    """Be told what happens to instances, in a queue."""


@events.command()
@click.argument("queue")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only these, as instance.created or trove.*; repeatable.")
@click.option("--instance", "instance_id", metavar="ID", help="Only of this instance.")
@click.option("--flavor", help="Flavor of the queue.")
@click.option("--ttl", type=int, metavar="SECONDS", help="How long a message stays in the queue.")
@cloud_options
@json_option
def subscribe(queue: str, types: tuple[str, ...], cloud: str, state: Path | None, as_json: bool, **fields: Any) -> None:
    """Have events delivered to QUEUE, which is made if it is not there."""
    api = sign_in(resolve(state), cloud)
    body = {"queue": queue, "types": list(types) or None, **fields}
    wanted = {name: value for name, value in body.items() if value is not None}
    made = api.post(PATH, {"event_subscription": wanted})["event_subscription"]
    if as_json:
        show_one(made, as_json)
    else:
        click.echo(f"{made['id']}; read them: {api.command(f'events tail {queue}')}")


@events.command("list")
@cloud_options
@json_option
def list_(cloud: str, state: Path | None, as_json: bool) -> None:
    """The project's subscriptions, newest first."""
    api = sign_in(resolve(state), cloud)
    found: list[dict[str, Any]] = []
    query: str | None = ""
    while query is not None:
        page = api.get(f"{PATH}?{query}")
        found += page["event_subscriptions"]
        query = next((urlsplit(link["href"]).query for link in page.get("links", ()) if link["rel"] == "next"), None)
    show(found if as_json else [{**row, "types": ", ".join(row["types"] or ["all"])} for row in found], COLUMNS, as_json)


@events.command()
@click.argument("id")
@cloud_options
def unsubscribe(id: str, cloud: str, state: Path | None) -> None:
    """End a subscription; the queue stays."""
    sign_in(resolve(state), cloud).delete(f"{PATH}/{quote(id, safe='')}")


@events.command()
@click.argument("queue")
@click.option("--count", type=click.IntRange(1), metavar="N", help="End after so many; without it, with Ctrl-C.")
@cloud_options
@json_option
def tail(queue: str, count: int | None, cloud: str, state: Path | None, as_json: bool) -> None:
    """Print what comes to QUEUE, and take it out of it; --json: one event to a line."""
    reader = Reader(sign_in(resolve(state), cloud), queue)
    left = count
    while left is None or left > 0:
        for message in reader.claim(min(left or AT_ONCE, AT_ONCE)):
            click.echo(json.dumps(message["body"]) if as_json else _line(message["body"]))
            reader.take(message)
            left = None if left is None else left - 1


class Reader:
    """Claims with one id of its own, waiting in the API."""

    def __init__(self, api: Api, queue: str) -> None:
        self._root = api.url.partition("/v1.0/")[0]
        self._queue = f"/v2/queues/{quote(queue, safe='')}"
        self._headers = {"X-Auth-Token": api.token, "Client-ID": str(uuid.uuid4())}

    def claim(self, limit: int) -> list[dict[str, Any]]:
        query = urlencode({"limit": limit, "wait": WAIT})
        terms = {"ttl": CLAIMED_FOR, "grace": CLAIMED_FOR}
        answer, _ = call("POST", f"{self._root}{self._queue}/claims?{query}", terms, self._headers)
        return list(answer["messages"]) if answer else []

    def take(self, message: dict[str, Any]) -> None:
        """Out of the queue: it has been printed."""
        call("DELETE", f"{self._root}{message['href']}", None, self._headers)


def _line(event: Any) -> str:
    """Of an event its time, type and instance; anything else in the queue as it is."""
    if not isinstance(event, dict) or not isinstance(event.get("instance"), dict) or "type" not in event:
        return json.dumps(event)
    instance = event["instance"]
    return f"{event.get('time', '')} {event['type']:24} {instance.get('id')} {instance.get('name')}"
