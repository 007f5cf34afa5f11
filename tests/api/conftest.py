"""The API in process over SQLite, with a stand-in for Temporal."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.api.stand import Stand, configured

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture(scope="session")
def stand_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return configured(tmp_path_factory.mktemp("api"))


@pytest.fixture
def stand(stand_config: Path) -> Iterator[Stand]:
    stand = Stand(stand_config)
    yield stand
    stand.close()
