"""Datastores, flavors, limits, quotas, versions and health."""

from typing import Any

import pytest

from tests.api.stand import MARIADB, OLD_MARIADB, PROJECTS, Stand
from tests.api.test_instances import fault


def test_versions_and_health_are_open(stand: Stand) -> None:
    client = stand.app.test_client()
    [version] = client.get("/").json["versions"]
    assert version["id"] == "v1.0"
    assert version["links"] == [{"rel": "self", "href": "http://localhost/v1.0/"}]
    assert client.get("/v1.0/").json["version"] == client.get("/v1.0").json["version"] == version
    assert client.get("/healthcheck").data == b"OK"


def test_readiness_says_what_is_away(stand: Stand) -> None:
    client = stand.app.test_client()
    assert client.get("/readyz").json == {"sql": "ok", "temporal": "ok"}
    stand.temporal.away = True
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (503, {"sql": "ok", "temporal": "away"})


def test_datastores(stand: Stand) -> None:
    listed = stand.alpha.get("/datastores").json["datastores"]
    assert [d["name"] for d in listed] == ["mariadb", "redis"]
    [version] = listed[0]["versions"]
    assert version.keys() == {"id", "name", "version", "links"}
    assert listed[0]["default_version"] == MARIADB
    for key in ("mariadb", "ds-mariadb"):
        assert stand.alpha.get(f"/datastores/{key}").json["datastore"] == listed[0]
    assert stand.alpha.get("/datastores/oracle").status_code == 404


def test_administrators_see_inactive_versions(stand: Stand) -> None:
    listed = {d["name"]: d for d in stand.admin.get("/datastores").json["datastores"]}
    assert [v["active"] for v in listed["mariadb"]["versions"]] == [True, False]
    assert listed["empty"]["versions"] == []


@pytest.mark.parametrize(
    "path",
    ["/datastores/mariadb/versions/10.11", f"/datastores/ds-mariadb/versions/{MARIADB}", f"/datastores/versions/{MARIADB}"],
)
def test_one_version(stand: Stand, path: str) -> None:
    version = stand.alpha.get(path).json["version"]
    assert (version["id"], version["datastore"]) == (MARIADB, "ds-mariadb")
    [listed] = stand.alpha.get("/datastores/mariadb/versions").json["versions"]
    assert listed == version


@pytest.mark.parametrize(
    "path",
    [
        "/datastores/mariadb/versions/9",
        "/datastores/mariadb/versions/10.3",
        "/datastores/versions/x",
        f"/datastores/versions/{OLD_MARIADB}",
        "/datastores/x/versions",
        "/datastores/mariadb/versions/9/flavors",
        "/flavors/x",
    ],
)
def test_unknown_parts_of_the_catalog(stand: Stand, path: str) -> None:
    assert fault(stand.alpha.get(path))[0] == "itemNotFound"


def test_flavors(stand: Stand) -> None:
    flavors = stand.alpha.get("/flavors").json["flavors"]
    assert [(f["id"], f["str_id"], f["ram"]) for f in flavors] == [(1, "1", 512), (None, "db.small", 1024)]
    assert stand.alpha.get("/flavors/db.small").json["flavor"] == flavors[1]
    assert stand.alpha.get("/datastores/mariadb/versions/10.11/flavors").json["flavors"] == flavors


def test_limits(stand: Stand) -> None:
    assert stand.alpha.get("/limits").json == {
        "limits": [{"verb": "ABSOLUTE", "max_instances": 5, "max_ram": -1, "max_volumes": 40}]
    }


def test_quotas(stand: Stand) -> None:
    stand.alpha.create(volume={"size": 3})
    own = f"/mgmt/quotas/{PROJECTS['alpha']}"
    shown = {q.pop("resource"): q for q in stand.alpha.get(own).json["quotas"]}
    assert shown["volumes"] == {"in_use": 3, "reserved": 0, "limit": 40}
    assert shown["instances"] == {"in_use": 1, "reserved": 0, "limit": 5}
    changed = stand.admin.put(own, {"quotas": {"instances": 1, "ram": None, "volumes": "50"}})
    assert changed.json == {"quotas": {"instances": 1, "volumes": 50}}
    assert stand.alpha.create().status_code == 413
    assert stand.admin.put(own, {"quotas": {"instances": -1}}).status_code == 200
    assert stand.alpha.create().status_code == 200


def test_quotas_of_others_are_for_administrators(stand: Stand) -> None:
    other = f"/mgmt/quotas/{PROJECTS['beta']}"
    assert fault(stand.alpha.get(other)) == ("forbidden", "Policy doesn't allow quota:show_any to be performed.")
    assert stand.admin.get(other).status_code == 200
    own = stand.alpha.put(f"/mgmt/quotas/{PROJECTS['alpha']}", {"quotas": {"instances": 9}})
    assert fault(own) == ("forbidden", "Policy doesn't allow quota:update to be performed.")


@pytest.mark.parametrize(
    ("quotas", "status"),
    [
        ({"instances": -2}, 400),
        ({"instances": "x"}, 400),
        ({"instances": 2**40}, 400),
        ({"cows": 3}, 404),
        (None, 400),
        ([], 400),
    ],
)
def test_quotas_that_are_none(stand: Stand, quotas: Any, status: int) -> None:
    assert stand.admin.put(f"/mgmt/quotas/{PROJECTS['beta']}", {"quotas": quotas}).status_code == status
