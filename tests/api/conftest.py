"""The API in process over SQLite, with a stand-in for Temporal."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.api.stand import Plant, Stand, configured

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(configured(tmp_path_factory.mktemp("api")))


@pytest.fixture
def stand(plant: Plant, tmp_path: Path) -> Iterator[Stand]:
    stand = plant.stand(tmp_path)
    yield stand
    for changed in ("page_size", "guest_deadline"):
        plant.conf.clear_override(changed, "api")
    stand.close()
