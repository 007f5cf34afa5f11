"""A small object's way through the object store, from this host, by temporary URLs alone: as a guest will go."""

import hashlib
import http.client
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cli.http import opener
from clouds.objects import ObjectKey, ObjectStore, Segment
from clouds.ports import CloudError

PROJECT = "coffer-check"
"""No tenant's: a container of its own, which stays, empty."""
DATA = b"Coffer was here."
TIMEOUT = 15.0
OK, FAILED = "ok", "failed"
NO_ANSWER = 0


@dataclass(frozen=True)
class Passed:
    step: str
    state: str
    found: str = ""
    mend: str = ""


def check(store: ObjectStore) -> Iterator[Passed]:
    """Each step as it is done; the last that is told is the one that failed, or the removal.  Nothing of it is left."""
    key = ObjectKey(PROJECT, uuid.uuid4().hex)
    try:
        for step, mend, do in _steps(store, key):
            if wrong := _tried(do):
                yield Passed(step, FAILED, wrong, mend)
                return
            yield Passed(step, OK)
    finally:
        removed = _tried(lambda: _gone(store, key))
        yield Passed("remove", FAILED if removed else OK, removed, "run it again" if removed else "")


def _steps(store: ObjectStore, key: ObjectKey) -> Iterator[tuple[str, str, Callable[[], str]]]:
    """Name, mend, and what gives the empty text when all is well."""
    urls: list[str] = []
    segment = Segment(len(DATA), hashlib.md5(DATA, usedforsecurity=False).hexdigest())

    def sign() -> str:
        urls.append(store.segment_urls(key, 1, 1)[0])
        return ""

    def commit() -> str:
        store.commit_object(key, [segment], hashlib.sha256(DATA).hexdigest())
        urls.append(store.download_url(key))
        return ""

    def read() -> str:
        status, body = _ask("GET", urls[1])
        return "" if (status, body) == (200, DATA) else f"answers {_shown(status)}, with {len(body)} bytes"

    reach = "check that this host reaches [objects] guest_endpoint, and is in [objects] url_ip_range"
    yield "sign", "give the service user a role of Swift's operator_roles; Swift's pipeline needs tempurl and slo", sign
    yield "put", reach, lambda: _wanted(201, _ask("PUT", urls[0], DATA)[0])
    yield "commit", "Swift's pipeline needs slo", commit
    yield "get", reach, read
    yield "guard", "a URL for reading lets one write: check Swift's tempurl", lambda: _wanted(401, _ask("PUT", urls[1], b"x")[0])


def _gone(store: ObjectStore, key: ObjectKey) -> str:
    store.delete_object(key)
    return "it is still there" if store.show_object(key) else ""


def _tried(do: Callable[[], str]) -> str:
    try:
        return do()
    except CloudError as error:
        return str(error)


def _wanted(wanted: int, status: int) -> str:
    return "" if status == wanted else f"answers {_shown(status)}"


def _shown(status: int) -> str:
    return str(status) if status != NO_ANSWER else "nothing"


def _ask(method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status, NO_ANSWER without one, and body."""
    request = urllib.request.Request(url, body, method=method)  # noqa: S310 - the store's own
    try:
        with opener.open(request, timeout=TIMEOUT) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except (OSError, http.client.HTTPException):
        return NO_ANSWER, b""
