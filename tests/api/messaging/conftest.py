"""Messaging in process, with one pool in SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import plant
from tests.api.messaging.post_office import PostOffice
from tests.api.stand import Plant

__all__ = ["plant"]


@pytest.fixture
def office(plant: Plant, tmp_path: Path) -> Iterator[PostOffice]:
    office = PostOffice(plant, tmp_path)
    yield office
    office.close()
