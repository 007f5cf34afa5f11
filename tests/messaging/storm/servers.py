"""Stores for a storm, those among them that are killed in it, and how long it may take."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.messaging.conftest import Urls
from tests.support import mongodbserver
from tests.support.redisserver import redis_server

Crash = Callable[[], None]


@contextmanager
def stormy_store(kind: str, urls: Urls) -> Iterator[tuple[str, Crash]]:
    """URI of a store, and what to do to it in the middle."""
    if kind == "redis":
        with redis_server() as redis:
            yield redis.url, lambda: _restart(redis.kill, redis.start)
    elif kind == "mongodb" and not mongodbserver.GIVEN:
        with mongodbserver.mongodb_server(sync=True) as mongodb:
            yield f"{mongodb.url}/storm", lambda: _restart(mongodb.kill, mongodb.start)
    else:
        yield urls(kind), lambda: None


def _restart(kill: Crash, start: Crash) -> None:
    kill()
    start()
