"""`coffer openstack check-objects` against each store, and against one that does not let it through."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner

from cli import objectcheck
from cli.main import main
from clouds.local import local_cloud
from clouds.objects import ObjectKey, Segment, StoredObject, UrlRules
from tests.api.stand import configured
from tests.contract.objects.conftest import KEYS, Driver, Stored

STEPS = ["sign", "put", "commit", "get", "guard", "remove"]


def told(passed: Sequence[objectcheck.Passed]) -> list[tuple[str, str]]:
    return [(one.step, one.state) for one in passed]


def test_an_object_goes_all_the_way(stored: Stored, driver: Driver) -> None:
    assert told(list(objectcheck.check(stored.store))) == [(step, "ok") for step in STEPS]
    assert driver.held(objectcheck.PROJECT) == 0


def test_urls_that_do_not_reach_the_store_are_told_with_their_mend(driver: Driver) -> None:
    store = driver.connect(UrlRules(KEYS, endpoint="http://127.0.0.1:1"))
    passed = list(objectcheck.check(store))
    assert told(passed) == [("sign", "ok"), ("put", "failed"), ("remove", "ok")]
    assert (passed[1].found, "guest_endpoint" in passed[1].mend) == ("answers nothing", True)


def test_addresses_that_may_not_are_told_with_their_mend(driver: Driver) -> None:
    passed = list(objectcheck.check(driver.connect(UrlRules(KEYS, ip_range="192.0.2.1"))))
    assert told(passed) == [("sign", "ok"), ("put", "failed"), ("remove", "ok")]
    assert (passed[1].found, "url_ip_range" in passed[1].mend) == ("answers 401", True)


def test_a_store_that_takes_no_commit_is_left_clean(stored: Stored, driver: Driver) -> None:
    class Broken:
        def __getattr__(self, name: str) -> object:
            return getattr(stored.store, name)

        def commit_object(self, key: ObjectKey, segments: Sequence[Segment], sha256: str) -> StoredObject:
            return stored.store.commit_object(key, [dataclasses.replace(segments[0], size=1)], sha256)

    passed = list(objectcheck.check(Broken()))  # type: ignore[arg-type]
    assert told(passed)[-2:] == [("commit", "failed"), ("remove", "ok")]
    assert driver.held(objectcheck.PROJECT) == 0


def test_the_command_says_it_as_a_table_and_as_json(tmp_path: Path) -> None:
    config = configured(tmp_path, f"sqlite:///{tmp_path}/c.db")
    config.write_text(f"{config.read_text()}\n[cloud]\nlocal_directory = {tmp_path}/cloud\n")
    done = CliRunner().invoke(main, ["openstack", "check-objects", "--config", str(config), "--json"])
    # No worker serves the local store just now.
    assert done.exit_code == 1, done.output
    assert [row["step"] for row in json.loads(done.stdout)] == ["sign", "put", "remove"]
    assert "temp_url" not in done.output
    assert local_cloud(tmp_path / "cloud").objects.objects(objectcheck.PROJECT) == []
