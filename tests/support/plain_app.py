"""A WSGI application that shows how it is served."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

_held, _go_on = threading.Event(), threading.Event()
_asked: list[str] = []


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """/: what was sent, after the thread's name.  /hold answers once somebody has asked for /release; /held, once somebody is held.
    /asked: all paths until then."""
    _asked.append(environ["PATH_INFO"])
    match environ["PATH_INFO"]:
        case "/hold":
            _held.set()
            _go_on.wait(20)
        case "/held":
            _held.wait(20)
        case "/release":
            _go_on.set()
        case "/break":
            raise RuntimeError("as it is told to")
    asked = " ".join(_asked).encode() if environ["PATH_INFO"] == "/asked" else b""
    body = f"{threading.current_thread().name} ".encode() + environ["wsgi.input"].read() + asked
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
