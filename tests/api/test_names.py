"""Names in DNS: who gets one, what the workflows are told of it, and what clients see."""

from collections.abc import Iterator

import pytest
from oslo_config import cfg

import config
from tests.api.stand import Stand
from tests.api.test_placement import Neighbours, job_of, neighbours, on_a_network

__all__ = ["neighbours"]

ZONE = "db.example.com"


@pytest.fixture
def zone(stand: Stand) -> Iterator[str]:
    stand.conf.set_override("zone", "DB.example.com.", "dns")
    yield ZONE
    stand.conf.clear_override("zone", "dns")


def named(stand: Stand) -> str:
    """Id of an instance that is ACTIVE, as its workflow has left it."""
    instance_id = stand.ready()
    stand.set(instance_id, hostname=f"{instance_id}.{ZONE}")
    return instance_id


def test_without_a_zone_there_are_no_names(stand: Stand) -> None:
    instance_id = stand.ready()
    assert job_of(stand)["zone"] == ""
    assert "hostname" not in stand.alpha.get(f"/instances/{instance_id}").json["instance"]
    stand.alpha.delete(f"/instances/{instance_id}")
    (run,) = stand.temporal.of("InstanceDelete")
    assert stand.operation(run.op.id).input["named"] is False


def test_a_create_is_told_the_zone(stand: Stand, zone: str) -> None:
    building = stand.alpha.create().json["instance"]
    assert job_of(stand)["zone"] == zone
    assert "hostname" not in building


def test_the_name_is_shown_beside_the_addresses(stand: Stand, zone: str) -> None:
    instance_id = named(stand)
    shown = stand.alpha.get(f"/instances/{instance_id}").json["instance"]
    assert (shown["hostname"], bool(shown["ip"])) == (f"{instance_id}.{zone}", True)
    for path in ("/instances", "/instances/detail"):
        (listed,) = stand.alpha.get(path).json["instances"]
        assert listed["hostname"] == shown["hostname"]


def test_a_delete_looks_for_records_of_whoever_has_or_may_have_a_name(stand: Stand, zone: str) -> None:
    """One whose create is not done has none in its row yet; and the operator may have stopped giving names since."""
    building, ready = stand.alpha.create().json["instance"]["id"], named(stand)
    stand.alpha.delete(f"/instances/{building}")
    stand.conf.clear_override("zone", "dns")
    stand.alpha.delete(f"/instances/{ready}")
    assert [stand.operation(run.op.id).input["named"] for run in stand.temporal.of("InstanceDelete")] == [True, True]


def test_a_change_of_access_takes_the_name_along(stand: Stand, neighbours: Neighbours) -> None:
    instance_id = on_a_network(stand)
    stand.set(instance_id, hostname=f"{instance_id}.{ZONE}", server_key="coffer-1-server")
    stand.alpha.put(f"/instances/{instance_id}", {"instance": {"access": {"is_public": True}}})
    (run,) = stand.temporal.of("InstanceAccess")
    job = stand.operation(run.op.id).input
    assert (job["hostname"], job["name_key"]) == (f"{instance_id}.{ZONE}", "coffer-1-name")


@pytest.mark.parametrize(
    "zone", ["db example", "-db.example", "db..example", ".", "*.example", "db/example", "a" * 64, "x." * 120]
)
def test_what_is_no_zone_is_refused(tmp_path_factory: pytest.TempPathFactory, zone: str) -> None:
    file = tmp_path_factory.mktemp("zone") / "coffer.conf"
    file.write_text(f"[dns]\nzone = {zone}\n")
    with pytest.raises((cfg.Error, ValueError), match="zone"):
        config.dns_zone(config.load(file))
