"""The API in process over SQLite, with a stand-in for Temporal."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.stand import Stand, configured


@pytest.fixture(scope="session")
def stand_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return configured(tmp_path_factory.mktemp("api"))


@pytest.fixture
def stand(stand_config: Path) -> Iterator[Stand]:
    stand = Stand(stand_config)
    yield stand
    stand.close()


__all__ = ["json"]
