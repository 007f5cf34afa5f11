"""The shapes of answers, and links: relative and from /v2 on, as clients expect them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from messaging import metadata
from messaging.values import Claim, Edge, Flavor, Message, Pool, Queue, Stats

ROOT = "/v2"


def queue_path(name: str) -> str:
    return f"{ROOT}/queues/{name}"


def message_path(queue: str, message_id: str, claim_id: str | None = None) -> str:
    path = f"{ROOT}/queues/{queue}/messages/{message_id}"
    return f"{path}?claim_id={claim_id}" if claim_id else path


def claim_path(queue: str, claim_id: str) -> str:
    return f"{ROOT}/queues/{queue}/claims/{claim_id}"


def pool_path(name: str) -> str:
    return f"{ROOT}/pools/{quote(name, safe='')}"


def flavor_path(name: str) -> str:
    return f"{ROOT}/flavors/{quote(name, safe='')}"


def next_link(path: str, marker: str | None, limit: int, **more: Any) -> list[dict[str, str]]:
    """A page that has anything has a next one, which may turn out to be empty."""
    if marker is None:
        return []
    query = {"marker": marker, "limit": limit, **{name: str(value).lower() for name, value in more.items() if value}}
    return [{"rel": "next", "href": f"{path}?{urlencode(query)}"}]


def queue(row: Queue, detailed: bool) -> dict[str, Any]:
    view: dict[str, Any] = {"name": row.name, "href": queue_path(row.name)}
    if detailed:
        view["metadata"] = metadata.shown(row.metadata)
    return view


def message(row: Message, queue_name: str, claim_id: str | None = None) -> dict[str, Any]:
    return {
        "id": row.id,
        "href": message_path(queue_name, row.id, claim_id or row.claim_id),
        "ttl": row.ttl,
        "age": row.age,
        "body": row.body,
        "claim_count": row.claim_count,
    }


def popped(row: Message) -> dict[str, Any]:
    return {
        "id": row.id,
        "ttl": row.ttl,
        "age": row.age,
        "body": row.body,
        "claim_id": row.claim_id,
        "claim_count": row.claim_count,
    }


def claim(row: Claim, queue_name: str) -> dict[str, Any]:
    return {
        "href": claim_path(queue_name, row.id),
        "ttl": row.ttl,
        "age": row.age,
        "messages": claimed(row, queue_name),
    }


def claimed(row: Claim, queue_name: str) -> list[dict[str, Any]]:
    return [message(one, queue_name, row.id) for one in row.messages]


def stats(row: Stats, queue_name: str) -> dict[str, Any]:
    view: dict[str, Any] = {"claimed": row.claimed, "free": row.free, "total": row.total}
    edges: Mapping[str, Edge | None] = {"newest": row.newest, "oldest": row.oldest}
    for name, edge in edges.items():
        if edge is not None:
            view[name] = {"href": message_path(queue_name, edge.id), "age": edge.age, "created": _moment(edge.created)}
    return {"messages": view}


def pool(row: Pool, detailed: bool = False) -> dict[str, Any]:
    view: dict[str, Any] = {
        "href": pool_path(row.name),
        "name": row.name,
        "uri": row.uri,
        "weight": row.weight,
        "flavor": row.flavor,
    }
    if detailed:
        view["options"] = dict(row.options)
    return view


def flavor(row: Flavor, pool_list: Sequence[str] | None = None) -> dict[str, Any]:
    return {
        "href": flavor_path(row.name),
        "name": row.name,
        "pool_list": list(row.pool_list if pool_list is None else pool_list),
        "capabilities": list(row.capabilities),
    }


def flavor_in_list(row: Flavor, detailed: bool) -> dict[str, Any]:
    view = flavor(row)
    if not detailed:
        del view["capabilities"]
    return view


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
