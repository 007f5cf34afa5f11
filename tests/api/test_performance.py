"""What a request costs in SQL; its CPU is measured by `make bench`."""

import pytest

from tests.api.stand import PROJECTS, Stand


@pytest.mark.parametrize("path", ["/instances", "/instances/detail", "/operations", "/datastores", "/flavors"])
def test_a_list_takes_as_many_statements_for_100_rows_as_for_one(stand: Stand, path: str) -> None:
    stand.conf.set_override("page_size", 100, "api")
    stand.alpha.create()
    with stand.statements() as few:
        stand.alpha.get(path)
    stand.many(99, PROJECTS["alpha"])
    with stand.statements() as many:
        stand.alpha.get(path)
    assert len(many) == len(few) <= 6
