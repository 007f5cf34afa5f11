"""What the Swift driver makes of a Swift that refuses, falls silent, or loses its answer."""

import dataclasses
from collections.abc import Iterator

import pytest

from clouds.objects import UrlRules
from clouds.ports import CloudError
from tests.contract.objects.conftest import KEYS, Driver, Stored, swift_driver
from tests.support.faultproxy import Fault, FaultProxy, fault_proxy

pytestmark = pytest.mark.openstack
SHA256 = "ab" * 32
DATA = b"data" * 1000


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with swift_driver() as driver:
        yield driver


@pytest.fixture
def proxy(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Between the driver and its services; what a guest sends goes straight."""
    with fault_proxy() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "")
        yield proxy


@pytest.mark.parametrize(("status", "seen"), [(401, 401), (403, 400), (413, 413), (429, 429), (498, 498), (500, 500), (503, 503)])
def test_a_refusal_keeps_its_meaning(stored: Stored, proxy: FaultProxy, status: int, seen: int) -> None:
    segment = stored.put(1, DATA)
    proxy.inject(Fault("PUT", "/objects/", status=status, times=2 if status == 401 else 1, headers={"Retry-After": "3"}))
    with pytest.raises(CloudError) as error:
        stored.store.commit_object(stored.key, [segment], SHA256)
    assert error.value.status == seen
    assert error.value.retry_after == (3 if status in (429, 503) else None)
    assert "temp_url" not in str(error.value)
    stored.store.commit_object(stored.key, [segment], SHA256)


def test_the_lost_answer_of_a_commit_is_made_good_by_the_next(stored: Stored, proxy: FaultProxy) -> None:
    segment = stored.put(1, DATA)
    proxy.inject(Fault("PUT", "/objects/", lost=True))
    with pytest.raises(CloudError) as error:
        stored.store.commit_object(stored.key, [segment], SHA256)
    assert error.value.status == 503
    stored.store.commit_object(stored.key, [segment], SHA256)
    assert stored.read().body == DATA


@pytest.mark.parametrize("path", ["/objects/", "/segments/"])
def test_the_lost_answer_of_a_removal_is_made_good_by_the_next(stored: Stored, proxy: FaultProxy, path: str) -> None:
    stored.upload(DATA)
    stored.put(2, DATA)
    proxy.inject(Fault("DELETE", path, lost=True))
    with pytest.raises(CloudError) as error:
        stored.store.delete_object(stored.key)
    assert error.value.status == 503
    stored.store.delete_object(stored.key)
    assert stored.driver.held(stored.key.project) == 0


def test_a_container_whose_making_was_lost_is_found(stored: Stored, proxy: FaultProxy) -> None:
    fresh = dataclasses.replace(stored, store=stored.driver.connect(UrlRules(KEYS)))
    proxy.inject(Fault("PUT", f"coffer-{stored.key.project}$", lost=True))
    with pytest.raises(CloudError):
        fresh.store.segment_urls(stored.key, 1, 1)
    assert fresh.upload(DATA) == fresh.read().body


def test_a_segment_that_will_not_go_keeps_the_manifest_that_tells_of_it(stored: Stored, proxy: FaultProxy) -> None:
    stored.upload(DATA, DATA)
    proxy.inject(Fault("DELETE", "/objects/", status=503))
    with pytest.raises(CloudError):
        stored.store.delete_object(stored.key)
    assert stored.read().body == DATA + DATA
    stored.store.delete_object(stored.key)
    assert stored.driver.held(stored.key.project) == 0
