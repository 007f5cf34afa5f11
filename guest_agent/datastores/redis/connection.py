"""One administrative connection, and what the engine's errors mean to the control plane."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from guest_agent.errors import EngineFailed, EngineUnavailable

TIMEOUT = 10


class Connection:
    """Runs commands; every argument is sent as it is, with its length."""

    def __init__(self, send: Callable[..., Any]) -> None:
        self._send = send

    def execute(self, *arguments: str) -> Any:
        return self._send(*arguments)


@contextmanager
def connect(socket: Path, user: str, password: str) -> Iterator[Connection]:
    client = redis.Redis(
        unix_socket_path=str(socket),
        username=user,
        password=password,
        decode_responses=True,
        encoding_errors="backslashreplace",
        socket_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        with client:
            yield Connection(client.execute_command)
    except redis.AuthenticationError:
        raise EngineFailed("Redis refuses the agent's own account.") from None
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise EngineUnavailable(f"Redis does not answer ({type(error).__name__}).") from None
    except redis.ResponseError as error:
        # The message may quote an argument, and an argument may be a password's hash: only the error's code is told.
        raise EngineFailed(f"Redis refused with {str(error).partition(' ')[0]}.") from None
