"""What a guest cannot do with the URLs it was given."""

import hashlib
import json
import time
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest

from clouds.objects import UrlRules
from tests.contract.objects.conftest import KEYS, Stored, ask, md5
from tests.support.local_guest import eventually

DATA = b"mine" * 1000


def put_url(stored: Stored, number: int = 1) -> str:
    return stored.store.segment_urls(stored.key, number, 1)[0]


def changed(url: str, **changes: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=urlencode({**dict(parse_qsl(parts.query)), **changes})))


def test_a_url_is_good_for_its_own_object_only(stored: Stored) -> None:
    url = put_url(stored)
    other = urlsplit(url)
    for path in (
        other.path.replace("00000001", "00000002"),
        other.path.replace("segments/", "objects/").removesuffix("/00000001"),
        other.path.replace(stored.key.project, f"{stored.key.project}x"),
        other.path.replace("/instances/one/", "/instances/two/"),
        other.path + "/below",
        other.path.replace("/00000001", "/../data/00000001"),
    ):
        assert path != other.path
        assert ask("PUT", urlunsplit(other._replace(path=path)), DATA).status == 401, path
    assert stored.store.objects(stored.key.project) == []


def test_a_url_is_good_for_its_own_method_only(stored: Stored) -> None:
    stored.upload(DATA)
    for method in ("GET", "DELETE", "POST"):
        assert ask(method, put_url(stored)).status in (401, 501), method
    for method in ("PUT", "DELETE", "POST"):
        assert ask(method, stored.store.download_url(stored.key), DATA).status in (401, 501), method
    assert stored.read().body == DATA


def test_a_url_ends(stored: Stored) -> None:
    store = stored.driver.connect(UrlRules(KEYS, lifetime=1))
    [url] = store.segment_urls(stored.key, 1, 1)
    assert eventually(lambda: ask("PUT", url, DATA).status == 401, 5)
    assert ask("PUT", changed(url, temp_url_expires=str(int(time.time()) + 100)), DATA).status == 401
    assert ask("PUT", changed(url, temp_url_sig="0" * 128), DATA).status == 401
    assert ask("PUT", url.partition("?")[0], DATA).status == 401


@pytest.mark.parametrize(("ip_range", "status"), [("127.0.0.0/8", 201), ("192.0.2.0/24", 401)])
def test_a_url_may_be_bound_to_addresses(stored: Stored, ip_range: str, status: int) -> None:
    store = stored.driver.connect(UrlRules(KEYS, ip_range=ip_range))
    [url] = store.segment_urls(stored.key, 1, 1)
    assert ask("PUT", url, DATA).status == status
    assert ask("PUT", changed(url, temp_url_ip_range="0.0.0.0/0"), DATA).status == 401


def test_what_does_not_come_whole_is_not_there(stored: Stored) -> None:
    answer = ask("PUT", put_url(stored), DATA, announced=len(DATA) + 1)
    assert answer.status in (408, 499)
    assert stored.store.objects(stored.key.project) == []


def test_what_is_not_what_it_says_is_not_there(stored: Stored) -> None:
    assert ask("PUT", put_url(stored), DATA, ETag=md5(b"other")).status == 422
    assert stored.store.objects(stored.key.project) == []


def test_a_guest_makes_no_manifest(stored: Stored) -> None:
    """Nor anything else that would be read with more than its own permission: what it sends is data."""
    stored.upload(DATA)
    path = urlsplit(put_url(stored)).path.split("/", 3)[3]
    manifest = json.dumps([{"path": f"/{path}", "etag": md5(DATA), "size_bytes": len(DATA)}]).encode()
    assert ask("PUT", put_url(stored, 2) + "&multipart-manifest=put", manifest).status == 201
    segments = [stored.put(1, DATA), stored.put(3, DATA)]
    assert ask("PUT", put_url(stored, 2) + "&multipart-manifest=put", manifest).status == 201
    segments.insert(1, type(segments[0])(len(manifest), md5(manifest)))
    stored.store.commit_object(stored.key, segments, hashlib.sha256(b"").hexdigest())
    assert stored.read().body == DATA + manifest + DATA


@pytest.mark.parametrize("header", ["X-Copy-From", "X-Object-Manifest", "X-Symlink-Target"])
def test_a_guest_makes_no_reference(stored: Stored, header: str) -> None:
    stored.upload(DATA)
    target = urlsplit(stored.store.download_url(stored.key)).path.split("/", 3)[3]
    answer = ask("PUT", put_url(stored, 2), b"plain", **{header: target})
    assert answer.status in (201, 400, 401)
    if answer.status == 201:
        kept = type(stored.put(1, DATA))(5, md5(b"plain"))
        stored.store.commit_object(stored.key, [stored.put(1, DATA), kept], hashlib.sha256(b"").hexdigest())
        assert stored.read().body == DATA + b"plain"
