"""What depends on the database, once more over PostgreSQL and MariaDB at the migrated schema."""

from collections.abc import Iterator

import pytest

from migrations import runner
from models import Database
from tests.api import test_guests, test_instances, test_operations, test_paging, test_performance, test_races
from tests.api.stand import Plant, Stand, seed
from tests.support.databases import empty_database, mariadb, postgresql

pytestmark = pytest.mark.engines

SERVERS = {"postgresql": postgresql, "mariadb": mariadb}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    with SERVERS[request.param]() as url:
        yield url


@pytest.fixture
def stand(plant: Plant, server: str) -> Iterator[Stand]:
    with empty_database(server) as url:
        runner.upgrade(url)
        database = Database(url)
        seed(database)
        yield Stand(plant, database)
        plant.conf.clear_override("page_size", "api")
        database.close()


one = test_guests.one
admin_in_alpha = test_operations.admin_in_alpha

test_quota_5_and_20_creates_at_once = test_races.test_quota_5_and_20_creates_at_once
test_20_restarts_at_once = test_races.test_20_restarts_at_once
test_20_deletes_at_once_give_quota_back_once = test_races.test_20_deletes_at_once_give_quota_back_once
test_20_retries_at_once = test_races.test_20_retries_at_once
test_restart_and_delete_at_once = test_races.test_restart_and_delete_at_once
test_rows_of_one_moment_are_not_lost = test_paging.test_rows_of_one_moment_are_not_lost
test_every_row_once_newest_first = test_paging.test_every_row_once_newest_first
test_show_and_lists_when_ready = test_instances.test_show_and_lists_when_ready
test_names_come_back_as_they_were_given = test_instances.test_names_come_back_as_they_were_given
test_delete_from_any_state_and_again = test_instances.test_delete_from_any_state_and_again
test_changes_of_one_instance_queue_up = test_guests.test_changes_of_one_instance_queue_up
test_retry_of_a_failed_create = test_operations.test_retry_of_a_failed_create
test_reset_of_a_hanging_restart_frees_and_fences = test_operations.test_reset_of_a_hanging_restart_frees_and_fences
test_a_list_takes_as_many_statements = test_performance.test_a_list_takes_as_many_statements_for_100_rows_as_for_one
