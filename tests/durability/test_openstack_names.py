"""What a Designate does to creates, deletes and changes of access: lost answers, refusals, a zone that is not there; its real nameserver is asked."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from clouds.ports import WantRecord
from models import OperationRow, OperationState
from models.base import new_id
from tests.durability.scenarios import create_done, create_failed, delete_done
from tests.support.faultproxy import Fault, FaultProxy
from tests.support.openstack_world import OpenStackWorld
from tests.support.testbed import Bed
from tests.support.world import Temporal, Zygote
from workflows.contracts import Access, UserNetwork

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(600)]

MAKES, REMOVES = r"/zones/[^/]+/recordsets$", r"/zones/[^/]+/recordsets/[^/]+$"
WITHIN = 60.0


@pytest.fixture(scope="module")
def bed(bed: Bed) -> Bed:
    if not bed.zone():
        pytest.skip("this OpenStack has no Designate (TESTBED_DNS=1)")
    return bed


@pytest.fixture
def world(bed: Bed, temporal: Temporal, slow_zygote: Zygote, proxy: FaultProxy) -> Iterator[OpenStackWorld]:
    """With a worker that goes through the proxy."""
    world = OpenStackWorld(bed, temporal, slow_zygote, options="[reconcile]\ngrace = 0\n")
    world.environment = {"http_proxy": proxy.url, "no_proxy": ""}
    with world.worker():
        yield world
    world.close()


def leads_to(bed: Bed, world: OpenStackWorld, row: OperationRow, *addresses: str) -> None:
    """Whoever asks the nameserver for the instance's name is told these."""
    name = f"{row.instance_id}.{bed.zone()}"
    world.eventually(lambda: bed.resolve(name) == list(addresses), WITHIN)


def deleted(bed: Bed, world: OpenStackWorld, row: OperationRow) -> None:
    delete = world.delete(row.instance_id, named=True)
    assert world.settle(delete).state == OperationState.DONE
    delete_done(world, delete)
    leads_to(bed, world, row)


def ready(bed: Bed, world: OpenStackWorld, **more: Any) -> OperationRow:
    row = world.create(zone=bed.zone(), **more)
    ended = world.settle(row)
    assert ended.state == OperationState.DONE, ended.error_message
    return row


def test_answers_that_are_lost_and_refusals_that_pass(bed: Bed, world: OpenStackWorld, proxy: FaultProxy) -> None:
    passing = [Fault("POST", MAKES, status=status, headers={"Retry-After": "1"}) for status in (429, 500, 503)]
    lost = Fault("POST", MAKES, lost=True)
    proxy.inject(*passing, lost, Fault("GET", r"/recordsets$", status=500), Fault("GET", r"/zones$", lost=True))
    row = ready(bed, world)
    create_done(world, row)
    instance = world.instance(row.instance_id)
    assert instance.hostname == f"{row.instance_id}.{bed.zone()}"
    assert ([fault.struck for fault in passing], lost.struck) == ([1, 1, 1], 1)
    leads_to(bed, world, row, str(instance.management_address))
    proxy.inject(Fault("DELETE", REMOVES, lost=True), Fault("DELETE", REMOVES, status=503, headers={"Retry-After": "1"}))
    deleted(bed, world, row)


def refused(bed: Bed, world: OpenStackWorld, error_type: str, words: str, zone: str = "") -> None:
    row = world.create(zone=zone or bed.zone())
    ended = world.settle(row)
    assert (ended.state, ended.error_type) == (OperationState.FAILED, error_type), ended.error_message
    assert words in str(world.instance(row.instance_id).fault_message)
    create_failed(world, row)


def test_a_zone_that_is_not_there_ends_the_create(bed: Bed, world: OpenStackWorld) -> None:
    refused(bed, world, "CloudRejected", "no zone nowhere.example", "nowhere.example")


def test_what_the_service_user_may_not_do_ends_the_create(bed: Bed, world: OpenStackWorld, proxy: FaultProxy) -> None:
    body = {"code": 403, "type": "forbidden", "message": "Policy does not allow this"}
    proxy.inject(Fault("POST", MAKES, status=403, body=body, times=100))
    refused(bed, world, "CloudRejected", "Policy does not allow this")


def test_a_quota_of_designate_itself_ends_the_create(bed: Bed, world: OpenStackWorld) -> None:
    project = bed.service.current_project_id
    headers = {"X-Auth-All-Projects": "true"}
    path = f"/quotas/{project}"
    bed.operator.dns.patch(path, json={"zone_recordsets": 0}, headers=headers).raise_for_status()
    try:
        refused(bed, world, "QuotaExceeded", "uota")
    finally:
        bed.operator.dns.delete(path, headers=headers).raise_for_status()


def test_a_name_follows_the_floating_ip(bed: Bed, world: OpenStackWorld) -> None:
    with bed.tenant("alice") as alice:
        network = alice.network.find_network("private", ignore_missing=False)
    everybody = ["0.0.0.0/0"]
    row = ready(bed, world, network=UserNetwork(network.id, 3306, everybody, is_public=True))
    private, public = (one["address"] for one in world.instance(row.instance_id).addresses)
    leads_to(bed, world, row, public)
    change = world.change_access(row.instance_id, Access(False, everybody))
    assert world.settle(change).state == OperationState.DONE
    leads_to(bed, world, row, private)
    deleted(bed, world, row)


def reconcile(world: OpenStackWorld, *words: str) -> list[dict[str, Any]]:
    told = CliRunner().invoke(main, ["reconcile", *words, "--json", "--config", str(world.config_file)])
    assert told.stdout, (told.stderr, told.exception)
    rows: list[dict[str, Any]] = json.loads(told.stdout)
    return [{name: row.get(name) for name in ("kind", "thing", "key", "repair", "outcome")} for row in rows]


def test_a_record_that_was_taken_away_comes_back_and_those_of_others_stay(bed: Bed, world: OpenStackWorld) -> None:
    row = ready(bed, world)
    address = str(world.instance(row.instance_id).management_address)
    key, foreign = f"coffer-{row.id}-name", f"coffer-{new_id()}-name"
    names, owner = bed.connect().names, new_id()
    names.create_record(WantRecord(foreign, owner, f"{owner}.{bed.zone()}", "192.0.2.1"))
    dns = bed.service.dns
    (zone,) = dns.zones(name=f"{bed.zone()}.")
    unmarked = dns.create_recordset(zone, name=f"www.{bed.zone()}.", type="A", records=["192.0.2.2"])
    try:
        names.delete_record(key)
        leads_to(bed, world, row)
        assert {(one["kind"], one["key"], one["repair"]) for one in reconcile(world)} == {
            ("lost", key, "make it as it should be"),
            ("unknown", foreign, ""),
        }
        assert [(one["key"], one["outcome"]) for one in reconcile(world, "--fix", "--yes")] == [(key, "done")]
        leads_to(bed, world, row, address)
        assert [one["key"] for one in reconcile(world)] == [foreign]
    finally:
        names.delete_record(foreign)
        dns.delete_recordset(unmarked, zone)
    world.eventually(lambda: bed.names() == [f"{row.instance_id}.{bed.zone()}."], WITHIN)
    deleted(bed, world, row)
