"""A process of the storm that knows the API only."""

import http.client
import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from messaging.drivers.base import Claimed, ClaimTerms, NewMessage, QueueKey, Store
from messaging.errors import BadClaim, MessageClaimed, StoreUnavailable
from messaging.values import Message, Stats
from tests.messaging.storm.history import Log
from tests.messaging.storm.worker import PAUSE, claim_some

CLAIM_TTL = 60
"""The least that the API allows."""
MOST = 20
SECONDS = 20


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    token: str


class OverHttp:
    """As much of a store as the storm's processes use.  What is not answered is StoreUnavailable, and nothing is asked twice."""

    def __init__(self, address: Address) -> None:
        self._connection = http.client.HTTPConnection(address.host, address.port, timeout=SECONDS)
        self._headers = {"X-Auth-Token": address.token, "Client-ID": str(uuid.uuid4()), "Content-Type": "application/json"}
        self._claims: dict[str, tuple[str, float]] = {}

    def post(self, key: QueueKey, messages: Sequence[NewMessage], client: str) -> list[str]:
        body = {"messages": [{"body": json.loads(one.body), "ttl": one.ttl} for one in messages]}
        _, answer = self._ask("POST", f"{_path(key)}/messages", body)
        return [href.rsplit("/", 1)[1] for href in answer["resources"]]

    def stats(self, key: QueueKey) -> Stats:
        _, answer = self._ask("GET", f"{_path(key)}/stats")
        counts = answer["messages"]
        return Stats(counts["claimed"], counts["free"], counts["total"], None, None)

    def claim(self, key: QueueKey, terms: ClaimTerms) -> Claimed:
        until = time.monotonic() + terms.ttl
        path = f"{_path(key)}/claims?limit={min(terms.limit, MOST)}"
        status, answer = self._ask("POST", path, {"ttl": terms.ttl, "grace": terms.grace})
        if status == 204:
            return Claimed((), ())
        hrefs = [one["href"].partition("?claim_id=") for one in answer["messages"]]
        self._claims = {terms.claim_id: (hrefs[0][2], until)}
        return Claimed(tuple(Message(path.rsplit("/", 1)[1], None, 0, 0, claim, 1) for path, _, claim in hrefs), ())

    def delete(self, key: QueueKey, wanted: str, claim_id: str | None) -> None:
        status, _ = self._ask("DELETE", f"{_path(key)}/messages/{wanted}?claim_id={self._claims[claim_id or ''][0]}")
        if status >= 400:
            raise MessageClaimed("claimed") if status == 403 else BadClaim("not claimed")

    def delete_many(self, key: QueueKey, ids: Sequence[str], claim_ids: Sequence[str]) -> int:
        """None counts unless the claim was certain to last until the answer: the API does not tell how many."""
        claim, until = self._claims[claim_ids[0]]
        self._ask("DELETE", f"{_path(key)}/messages?ids={','.join(ids)}&claim_ids={claim}")
        return len(ids) if time.monotonic() < until else 0

    def release_claim(self, key: QueueKey, claim_id: str) -> None:
        self._ask("DELETE", f"{_path(key)}/claims/{self._claims[claim_id][0]}")

    def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body).encode(), self._headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as e:
            self._connection.close()
            raise StoreUnavailable(f"no answer: {type(e).__name__}") from None
        if answer.status >= 500:
            raise StoreUnavailable(f"{answer.status} {text.decode()}")
        return answer.status, json.loads(text) if text else None


def consume(store: Store, key: QueueKey, log: Log, stop: Path) -> None:
    while True:
        try:
            stopping = stop.exists()
            if not claim_some(store, key, log, CLAIM_TTL):
                if stopping:
                    return
                time.sleep(PAUSE)
        except StoreUnavailable:
            time.sleep(PAUSE)


def work(role: Callable[[Store, QueueKey, Log, Path], None], address: Address, key: QueueKey, directory: Path) -> None:
    store: Any = OverHttp(address)
    role(store, key, Log(directory / f"{uuid.uuid4().hex}.log"), directory / "stop")


def _path(key: QueueKey) -> str:
    return f"/v2/queues/{key.name}"
