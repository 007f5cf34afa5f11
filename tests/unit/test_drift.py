"""Each difference between cloud and rows is told, with what is to be done about it, and nothing else."""

from dataclasses import replace

import pytest

from activities.drift import Finding, Held, Kind, Known, Maker, Repair, SentObject, compare
from clouds.ports import (
    FloatingIp,
    Port,
    Record,
    RecordStatus,
    SecurityGroup,
    Server,
    ServerGroup,
    ServerStatus,
    Volume,
    VolumeStatus,
    WantGroup,
    WantRecord,
    WrongRule,
)
from models import InstanceState

OP, OTHER = "11111111-1111-4111-8111-111111111111", "99999999-9999-4999-8999-999999999999"
READY = Known(InstanceState.READY, f"coffer-{OP}-server", busy=False, generation=1)
SERVER = Server("s1", f"coffer-{OP}-server", "db-1", ServerStatus.ACTIVE, "10.0.0.7")
VOLUME = Volume("v1", f"coffer-{OP}-volume", "db-1", 1, VolumeStatus.IN_USE)
PORT = Port("p1", f"coffer-{OP}-port", "db-1", "10.0.0.7")
OFF, FAILED = replace(SERVER, status=ServerStatus.SHUTOFF), replace(SERVER, status=ServerStatus.ERROR)
DETACHED, BROKEN = replace(VOLUME, status=VolumeStatus.AVAILABLE), replace(VOLUME, status=VolumeStatus.ERROR)


def held(*things: Server | Volume | Port, rules: tuple[WrongRule, ...] = (), is_open: bool = False) -> Held:
    by_kind = {word: [one for one in things if isinstance(one, kind)] for word, kind in KINDS.items()}
    return Held(by_kind, {OP: Maker("db-1", is_open)}, rules)


KINDS = {"server": Server, "volume": Volume, "port": Port}
COMPLETE = held(SERVER, VOLUME, PORT)


def told(what: Held, **row: object) -> list[str]:
    known = Known(**{**READY.__dict__, **row})  # type: ignore[arg-type]
    return [f"{one.kind}: {one.thing} {one.finding} -> {one.repair or 'nothing'}" for one in compare(what, {"db-1": known})]


def test_a_complete_instance_is_nothing_to_tell() -> None:
    assert told(COMPLETE) == []


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (held(VOLUME, PORT), ["lost: server is missing -> mark"]),
        (held(SERVER, PORT), ["lost: volume is missing -> nothing"]),
        (held(SERVER, VOLUME), ["lost: port is missing -> nothing"]),
        (held(OFF, VOLUME, PORT), ["stopped: server is SHUTOFF -> repair"]),
        (held(FAILED, VOLUME, PORT), ["failed: server is ERROR -> mark"]),
        (held(SERVER, DETACHED, PORT), ["detached: volume is detached -> repair"]),
        (held(FAILED, DETACHED, PORT), ["failed: server is ERROR -> mark", "detached: volume is detached -> nothing"]),
        (held(DETACHED, PORT), ["lost: server is missing -> mark"]),
        (held(SERVER, BROKEN, PORT), ["failed: volume is error -> nothing"]),
        (held(SERVER, VOLUME, replace(DETACHED, id="v2"), PORT), ["orphan: volume is a second one of its key -> keep one"]),
        (held(SERVER, VOLUME, replace(BROKEN, id="v2"), PORT), ["orphan: volume is a second one of its key -> keep one"]),
    ],
    ids=[
        "server",
        "volume",
        "port",
        "stopped",
        "failed",
        "detached",
        "detached-failed",
        "freed",
        "broken",
        "second",
        "broken-second",
    ],
)
def test_what_a_ready_instance_lacks_is_told(what: Held, expected: list[str]) -> None:
    assert told(what) == expected


def test_an_instance_whose_tenant_knows_is_not_marked_again() -> None:
    assert told(held(VOLUME, PORT), state=InstanceState.ERROR) == ["lost: server is missing -> nothing"]


def test_what_a_failed_create_or_a_delete_has_left_is_to_be_removed() -> None:
    failed, deleted = {"state": InstanceState.ERROR, "server_key": None}, {"state": InstanceState.DELETED}
    assert told(held(PORT), **failed) == ["orphan: port is left of an instance that is without a server -> remove"]
    assert told(held(PORT), **deleted) == ["orphan: port is left of an instance that is deleted -> remove"]


def test_what_an_open_operation_has_made_is_left_alone() -> None:
    assert told(held(PORT, is_open=True), state=InstanceState.ERROR, server_key=None) == []


@pytest.mark.parametrize(
    ("stray", "finding"),
    [
        (Volume("v9", f"coffer-{OTHER}-volume", "db-9", 1, VolumeStatus.AVAILABLE), "belongs to no instance that is known here"),
        (replace(VOLUME, owner="db-9"), "belongs to no instance that is known here"),
        (replace(VOLUME, key=f"coffer-{OTHER}-volume"), "was made by no operation of its instance that is known here"),
        (replace(VOLUME, key="coffer-1-volume"), "was made by no operation of its instance that is known here"),
        (replace(VOLUME, key="backup"), "was made by no operation of its instance that is known here"),
    ],
    ids=["foreign", "foreign-instance", "foreign-operation", "no-operation", "no-key"],
)
def test_what_another_deployment_has_made_is_told_and_never_mended(stray: Volume, finding: str) -> None:
    deleted = replace(READY, state=InstanceState.DELETED)
    found = compare(held(stray), {"db-1": deleted})
    assert found == [Finding(Kind.UNKNOWN, finding, "volume", stray.owner, stray.key, stray.id, Repair.NOTHING)]


@pytest.mark.parametrize("what", [held(), held(SERVER, PORT)])
def test_an_instance_that_changes_just_now_is_left_alone(what: Held) -> None:
    assert told(what, busy=True) == []
    assert told(what, busy=True, state=InstanceState.BUILDING, server_key=None) == []


def test_rows_that_no_operation_will_move_are_told() -> None:
    assert told(held(), state=InstanceState.BUILDING, server_key=None) == [
        "stuck: instance is BUILDING without an operation -> nothing"
    ]
    assert told(held(), busy=True, held=True) == ["stuck: instance is held by an operation that is not open -> nothing"]


def test_a_root_volume_that_was_taken_is_told_and_cannot_be_given_back() -> None:
    root = replace(DETACHED, id="v2", key=f"coffer-{OP}-root")
    assert told(held(SERVER, VOLUME, root, PORT)) == ["detached: volume is detached -> nothing"]


def test_what_leads_to_a_deleted_instance_and_guards_it_is_to_be_removed() -> None:
    group, address = SecurityGroup("g1", f"coffer-{OP}-access", "db-1"), FloatingIp("f1", "db-1", "198.51.100.7", None)
    servers = ServerGroup("n1", f"coffer-{OP}-group", "db-1", "affinity")
    what = replace(held(), things={"security group": [group], "floating IP": [address], "server group": [servers]})
    found = compare(what, {"db-1": replace(READY, state=InstanceState.DELETED)})
    assert [(one.thing, one.key, one.repair) for one in sorted(found, key=lambda one: one.rank)] == [
        ("floating IP", "", "remove"),
        ("security group", group.key, "remove"),
        ("server group", servers.key, "remove"),
    ]
    assert {one.repair for one in compare(what, {})} == {Repair.NOTHING}, "an address of another deployment's"


@pytest.mark.parametrize(
    ("sent", "row", "is_open", "expected"),
    [
        (OP, {}, False, ["orphan: object is left of a check that has ended -> remove"]),
        (OP, {}, True, []),
        (OP, {"busy": True}, False, []),
        (OTHER, {}, False, ["unknown: object belongs to no instance that is known here -> nothing"]),
    ],
    ids=["ended", "open", "busy", "foreign"],
)
def test_what_a_check_has_sent_goes_with_it(sent: str, row: dict[str, object], is_open: bool, expected: list[str]) -> None:
    what = held(SERVER, VOLUME, PORT, is_open=is_open)
    what = replace(what, things={**what.things, "object": [SentObject(f"project/checks/{sent}")]})
    assert told(what, **row) == expected


def test_a_floating_ip_that_leads_nowhere_is_told() -> None:
    lost, right = (FloatingIp(f"f{port}", "db-1", "198.51.100.7", port) for port in (None, "p1"))
    what = held(SERVER, VOLUME, PORT)
    what = replace(what, things={**what.things, "floating IP": [lost, right, replace(lost, owner="db-2")]})
    found = compare(what, {"db-1": READY, "db-2": replace(READY, busy=True)})
    assert found == [Finding(Kind.DETACHED, "198.51.100.7 leads to no port", "floating IP", "db-1", "", lost.id)]


def test_a_port_on_the_tenants_network_is_missed() -> None:
    what = replace(held(SERVER, VOLUME, PORT), wanted=[WantGroup(f"coffer-{OP}-access", "db-1", 3306, ("0.0.0.0/0",))])
    (found,) = compare(what, {"db-1": READY})
    assert (found.kind, found.thing, found.key) == (Kind.LOST, "port", f"coffer-{OP}-user-port")


def test_rules_are_set_right_where_they_are_ours() -> None:
    extra = WrongRule("security rule", "management", "r1", "", "lets in tcp 22", mendable=True)
    groups = WrongRule("port", PORT.key, "p1", "db-1", "has other security groups: none", mendable=True)
    rules = (extra, replace(extra, id="r2", mendable=False), groups, replace(groups, owner="db-9"))
    found = compare(held(SERVER, VOLUME, PORT, rules=rules), {"db-1": READY})
    assert [(one.id, one.repair) for one in found] == [("r1", "set"), ("r2", ""), ("p1", "set")]


def test_a_finding_is_one_row_in_every_look() -> None:
    first, again = compare(held(VOLUME, PORT), {"db-1": READY}), compare(held(VOLUME, PORT), {"db-1": READY})
    assert [one.row_id for one in first] == [one.row_id for one in again]
    assert len({one.row_id for one in compare(held(FAILED, BROKEN), {"db-1": READY})}) == 3


NAME = WantRecord(f"coffer-{OP}-name", "db-1", "db-1.db.test", "10.0.0.7")
RECORD = Record("r1", NAME.key, "db-1", NAME.name, NAME.address, RecordStatus.ACTIVE)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (RECORD, []),
        (None, ["lost: DNS record is missing -> name"]),
        (
            replace(RECORD, address="10.0.0.9"),
            ["names: DNS record leads from db-1.db.test to 10.0.0.9 instead of db-1.db.test to 10.0.0.7 -> name"],
        ),
        (replace(RECORD, status=RecordStatus.ERROR), ["failed: DNS record is ERROR -> nothing"]),
        (replace(RECORD, status=RecordStatus.PENDING), []),
    ],
    ids=["right", "missing", "elsewhere", "failed", "pending"],
)
def test_a_name_leads_where_the_row_says(record: Record | None, expected: list[str]) -> None:
    complete = {**COMPLETE.things, "DNS record": [record] if record else []}
    assert told(replace(COMPLETE, things=complete, names=[NAME])) == expected


def test_the_name_of_an_instance_that_changes_just_now_is_left_alone() -> None:
    assert told(replace(COMPLETE, names=[NAME]), busy=True) == []


def test_a_record_of_a_deleted_instance_goes_before_the_address_it_leads_to() -> None:
    port, what = PORT, replace(held(), things={"port": [PORT], "DNS record": [RECORD]})
    found = compare(what, {"db-1": replace(READY, state=InstanceState.DELETED)})
    assert [(one.key, one.repair) for one in sorted(found, key=lambda one: one.rank)] == [
        (RECORD.key, "remove"),
        (port.key, "remove"),
    ]
