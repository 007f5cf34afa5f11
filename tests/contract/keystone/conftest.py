"""The Keystones under the contract: a stand-in, and the one that COFFER_TESTBED_CLOUDS names."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from flask import Flask

from tests.contract.keystone import standin
from tests.contract.keystone.world import Keystone, api_of, of_clouds, of_stand_in

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

VARIABLE = "COFFER_TESTBED_CLOUDS"


@pytest.fixture(scope="session")
def real_keystone() -> Keystone:
    if VARIABLE not in os.environ:
        pytest.skip(f"{VARIABLE} does not name the clouds.yaml of an OpenStack")
    return of_clouds(Path(os.environ[VARIABLE]))


@pytest.fixture(scope="module")
def stand_in() -> Iterator[standin.StandIn]:
    with standin.serving() as running:
        yield running


@pytest.fixture(scope="module", params=["stand-in", pytest.param("real", marks=pytest.mark.openstack)])
def keystone(request: pytest.FixtureRequest) -> Keystone:
    if request.param == "real":
        real: Keystone = request.getfixturevalue("real_keystone")
        return real
    return of_stand_in(request.getfixturevalue("stand_in").url)


@pytest.fixture(scope="module")
def api(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with api_of(tmp_path_factory.mktemp("api"), keystone) as app:
        yield app
