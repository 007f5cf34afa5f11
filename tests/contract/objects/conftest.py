"""The object stores under test.  Each is looked at from outside too: by HTTP, as a guest does, and without the driver's help."""

import contextlib
import hashlib
import http.client
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from cli.objectcheck import PROJECT
from clouds.local import local_cloud
from clouds.local.objectserver import serving
from clouds.objects import ObjectKey, ObjectStore, Segment, UrlRules
from tests.support.local_guest import short_directory
from tests.support.testbed import CLOUDS_FILE, Bed, testbed

KEYS = ("2" * 64, "1" * 64)


@dataclass(frozen=True)
class Driver:
    """`connect`: a client of the same store with other rules, as another process has it.  `held`: how many things a project's container has."""

    connect: Callable[[UrlRules], ObjectStore]
    held: Callable[[str], int]


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]


def ask(method: str, url: str, body: bytes = b"", announced: int | None = None, **headers: str) -> Answer:
    """One request.  `announced`: a length that is not the body's; the connection then ends behind the body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    try:
        sent = {"Content-Length": str(len(body) if announced is None else announced), **headers}
        connection.putrequest(method, f"{parts.path}?{parts.query}")
        for name, value in sent.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(body)
        if announced is not None and connection.sock:
            connection.sock.shutdown(1)
        answer = connection.getresponse()
        return Answer(answer.status, answer.read(), dict(answer.getheaders()))
    finally:
        connection.close()


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Stored:
    """A store and a key in a project of its own."""

    store: ObjectStore
    key: ObjectKey
    driver: Driver

    def put(self, number: int, data: bytes) -> Segment:
        [url] = self.store.segment_urls(self.key, number, 1)
        answer = ask("PUT", url, data, ETag=md5(data))
        assert answer.status == 201, answer
        return Segment(len(data), md5(data))

    def upload(self, *pieces: bytes) -> bytes:
        segments = [self.put(number, piece) for number, piece in enumerate(pieces, 1)]
        whole = b"".join(pieces)
        self.store.commit_object(self.key, segments, hashlib.sha256(whole).hexdigest())
        return whole

    def read(self, **headers: str) -> Answer:
        return ask("GET", self.store.download_url(self.key), **headers)


@contextlib.contextmanager
def local_driver() -> Iterator[Driver]:
    with short_directory() as directory, serving(directory):
        yield Driver(
            connect=lambda rules: local_cloud(directory, urls=rules).objects,
            held=lambda project: len([*(directory / "objects" / project).glob("[os]/*")]),
        )


@contextlib.contextmanager
def swift_driver() -> Iterator[Driver]:
    if not CLOUDS_FILE:
        pytest.skip("COFFER_TESTBED_CLOUDS names no OpenStack")
    with testbed() as bed:
        try:
            yield Driver(connect=lambda rules: bed.connect(urls=rules).objects, held=lambda project: held_in(bed, project))
        finally:
            for prefix in ("coffer-test-", f"coffer-{PROJECT}"):
                for container in list(bed.service.object_store.containers(prefix=prefix)):
                    bed.service.object_store.delete_container(container)


def held_in(bed: Bed, project: str) -> int:
    containers = {container.name for container in bed.service.object_store.containers(prefix=f"coffer-{project}")}
    return sum(len(list(bed.service.object_store.objects(name))) for name in containers)


DRIVERS = {"local": local_driver, "swift": swift_driver}


@pytest.fixture(scope="module", params=["local", pytest.param("swift", marks=pytest.mark.openstack)])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    with DRIVERS[request.param]() as driver:
        yield driver


@pytest.fixture
def stored(driver: Driver) -> Iterator[Stored]:
    key = ObjectKey(f"test-{uuid.uuid4()}", "instances/one/data")
    store = driver.connect(UrlRules(KEYS))
    yield Stored(store, key, driver)
    for found in store.objects(key.project):
        store.delete_object(found.key)
    assert driver.held(key.project) == 0
