"""`coffer openstack bootstrap` against a real OpenStack: what it makes, finds again, and says of what it can not mend."""

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest

from cli.openstackservices import public_key_of
from clouds.openstack import Credentials, Services, Settings
from clouds.openstack.bootstrap import Bootstrap, Endpoint, Finding, State, Wanted
from tests.contract.keystone.conftest import VARIABLE
from tests.contract.keystone.world import Keystone, config_file
from tests.support.stack import coffer
from tests.support.testbed import Bed

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(300)]

CIDR = "10.126.0.0/24"
URL = "http://dbaas.example/v1.0/%(project_id)s"


@pytest.fixture(scope="module")
def service() -> Iterator[Any]:
    loaded = openstack.config.OpenStackConfig(config_files=[os.environ.get(VARIABLE, "")], load_envvars=False)
    with openstack.connection.Connection(config=loaded.get_one("testbed-service")) as connection:
        yield connection


@pytest.fixture
def name(real_keystone: Keystone, service: Any) -> Iterator[str]:
    """Of a network, group, keypair and service type that nothing has yet; removed afterwards."""
    name = f"coffer-{uuid.uuid4().hex[:12]}"
    yield name
    for network in service.network.networks(name=name):
        service.network.delete_network(network)
    for group in service.network.security_groups(name=name):
        service.network.delete_security_group(group)
    for pair in service.compute.keypairs():
        if pair.name == name:
            service.compute.delete_keypair(pair)
    for one in service.identity.services():
        if one.type == name:
            service.identity.delete_service(one)


Run = Callable[..., dict[str, Finding]]


@pytest.fixture
def run(name: str, real_keystone: Keystone) -> Run:
    def run(make: bool = True, user: str = "dbaas", url: str = URL, key: str = "", **changes: Any) -> dict[str, Finding]:
        who = {k: v for k, v in real_keystone.users[user].items() if k in Credentials.__dataclass_fields__} | changes
        settings = Settings(Credentials(**who, region_name="RegionOne", interface="public"), name, name, keypair=name)
        services = Services(settings, lambda method, url: None)
        wanted = Wanted(CIDR, "RegionOne", (Endpoint(name, name, "a test", url),), public_key=key)
        return {f"{f.what} {f.name}": f for f in Bootstrap(services, services, settings, wanted, make).run()}

    return run


def states(found: dict[str, Finding], name: str) -> dict[str, str]:
    return {what.replace(name, "X"): f.state.value for what, f in found.items() if f.what not in ("service user", "roles")}


EVERYTHING = (
    "network X",
    f"subnet {CIDR}",
    "security group X",
    f"rule tcp 2222 from {CIDR}",
    "service X",
    *(f"endpoint X {interface}" for interface in ("public", "internal", "admin")),
    "keypair X",
)


def test_all_is_made_once(run: Run, name: str, service: Any, tmp_path: Path) -> None:
    key = public_key_of(tmp_path / "key")
    assert states(run(make=False), name) == dict.fromkeys(EVERYTHING, "would be made")
    assert list(service.network.networks(name=name)) == []
    assert states(run(key=key), name) == dict.fromkeys(EVERYTHING, "made")
    assert states(run(key=key), name) == dict.fromkeys(EVERYTHING, "there")

    [network] = service.network.networks(name=name)
    [subnet] = service.network.subnets(network_id=network.id)
    assert (subnet.cidr, subnet.gateway_ip, subnet.is_dhcp_enabled) == (CIDR, None, False)
    [group] = service.network.security_groups(name=name)
    ingress = [rule for rule in group.security_group_rules if rule["direction"] == "ingress"]
    assert [(r["protocol"], r["port_range_min"], r["port_range_max"], r["remote_ip_prefix"]) for r in ingress] == [
        ("tcp", 2222, 2222, CIDR)
    ]
    assert service.compute.get_keypair(name).public_key == key


def test_what_a_killed_run_left_out_is_added(run: Run, name: str, service: Any) -> None:
    service.network.create_network(name=name)
    service.network.create_security_group(name=name)
    service.identity.create_service(type=name, name=name)
    found = states(run(), name)
    assert (found["network X"], found[f"subnet {CIDR}"]) == ("there", "made")
    assert (found["security group X"], found[f"rule tcp 2222 from {CIDR}"]) == ("there", "made")
    assert (found["service X"], found["endpoint X admin"]) == ("there", "made")
    assert found["keypair X"] == "missing"


def test_what_it_does_not_touch(run: Run, name: str, service: Any) -> None:
    for _ in range(2):
        service.network.create_network(name=name)
    made = service.identity.create_service(type=name, name=name)
    service.identity.create_endpoint(service_id=made.id, interface="public", region_id="RegionOne", url="http://old.example")
    found = run()
    assert found[f"network {name}"].state is State.FAILED
    assert "configure the id" in found[f"network {name}"].mend
    wrong = found[f"endpoint {name} public"]
    assert wrong.state is State.WRONG
    assert wrong.mend.startswith(f"it is http://old.example: openstack endpoint set --url '{URL}'")
    [endpoint] = [one for one in service.identity.endpoints(service_id=made.id) if one.interface == "public"]
    assert endpoint.url == "http://old.example"


def test_without_a_url_there_are_no_endpoints(run: Run, name: str) -> None:
    found = run(url="")
    assert found[f"endpoint {name} public"].state is State.MISSING
    assert "[api] public_endpoint" in found[f"endpoint {name} public"].mend


def test_a_user_that_can_not_log_in(run: Run) -> None:
    [only] = run(password="wr0ng-secret").values()
    assert (only.what, only.state) == ("service user", State.FAILED)
    assert "wr0ng" not in only.mend


def test_a_user_without_the_roles(run: Run, name: str) -> None:
    found = run(user="alice")
    roles = next(f for f in found.values() if f.what == "roles")
    assert roles.state is State.MISSING
    assert "openstack role add --user alice --project project-a service" in roles.mend
    failed = found[f"endpoint {name}"]
    assert (failed.state, "not authorized" in failed.mend) == (State.FAILED, True)


def commanded(config: Path, *args: str) -> tuple[int, list[dict[str, Any]]]:
    done: subprocess.CompletedProcess[str] = coffer(*args, "--config", str(config), "--json", timeout=120)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def config(real_keystone: Keystone, tmp_path: Path, name: str) -> Path:
    path = config_file(tmp_path, real_keystone, f"sqlite:///{tmp_path}/coffer.db")
    groups = f"[network]\nmanagement_network = {name}\nmanagement_security_group = {name}\nmanagement_cidr = {CIDR}\n"
    path.write_text(path.read_text() + f"[cloud]\ndriver = openstack\n{groups}")
    assert coffer("db", "upgrade", "--config", str(path), timeout=60).returncode == 0
    return path


def of(rows: list[dict[str, Any]], **wanted: str) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_flavors_are_novas(config: Path) -> None:
    code, rows = commanded(config, "openstack", "bootstrap", "--dry-run")
    assert code == 1
    assert "--import-flavors" in of(rows, what="flavor", state="missing")[0]["mend"]
    code, rows = commanded(config, "openstack", "bootstrap", "--dry-run", "--import-flavors", "tb.t*")
    assert [row["name"] for row in of(rows, what="flavor", state="would be made")] == ["tb.tiny"]


def test_status_names_what_is_missing_and_its_mend(config: Path) -> None:
    code, rows = commanded(config, "status")
    assert code == 1
    answering = {row["service"] for row in of(rows, state="ok")}
    assert {"SQL", "tokens", "Keystone", "Nova", "Neutron", "Cinder", "Glance"} <= answering
    [temporal] = of(rows, service="Temporal")
    assert (temporal["state"], "[temporal] address" in temporal["mend"]) == ("away", True)
    assert {row["found"] for row in of(rows, service="catalog", state="wrong")} <= {"has no database", "has no messaging"}
    [network] = of(rows, service="network")
    assert network["state"] == "wrong"
    assert network["mend"] == f"coffer openstack bootstrap --state {config.parent}"


@pytest.mark.parametrize(
    ("exchanges", "password", "state", "found"),
    [
        ("nova,openstack", "testbed", "ok", ""),
        ("nova,coffer-test-nobody", "testbed", "not there", "no exchange coffer-test-nobody yet"),
        ("nova", "wr0ng-secret", "away", "ACCESS_REFUSED"),
    ],
)
def test_status_of_the_broker_of_notifications(
    config: Path, bed: Bed, exchanges: str, password: str, state: str, found: str
) -> None:
    url = bed.transport_url.replace(":testbed@", f":{password}@")
    config.write_text(f"{config.read_text()}[notifications]\ntransport_url = {url}\nexchanges = {exchanges}\n")
    _, rows = commanded(config, "status")
    [told] = of(rows, service="notifications")
    assert told["state"] == state
    assert found in told["found"]
    assert "wr0ng" not in json.dumps(rows)


def test_status_of_a_service_user_with_a_wrong_password(config: Path) -> None:
    config.write_text(config.read_text().replace("password = testbed", "password = wr0ng-secret"))
    code, rows = commanded(config, "status")
    assert code == 1
    assert {row["service"]: row["state"] for row in rows} == {
        "SQL": "ok",
        "Temporal": "away",
        "tokens": "away",
        "Keystone": "away",
    }
    assert "wr0ng" not in json.dumps(rows)
