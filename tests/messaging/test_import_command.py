"""`coffer messaging import`, as an operator runs it."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from messaging.service import Messaging
from models import Database
from security import keyring
from tests.messaging.conftest import Urls
from tests.messaging.zaqar import SOURCES, SQL, Rows, zaqar


@dataclass(frozen=True)
class Deployment:
    config: Path
    messaging: Messaging

    def run(self, *words: str, stdin: str = "", fails: bool = False) -> str:
        """What the command says, on both channels."""
        command = [sys.executable, "-m", "cli.main", "messaging", "import", *words, "--config", str(self.config)]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode != 0) is fails, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    def json(self, *words: str, **more: Any) -> Any:
        said = self.run(*words, "--json", **more)
        return json.loads(said[: said.rindex("}") + 1])

    def bindings(self) -> dict[str, tuple[str, ...]]:
        return {flavor.name: flavor.pool_list for flavor in self.messaging.flavors.list().items}


@pytest.fixture
def deployment(database: Database, tmp_path: Path) -> Deployment:
    keyring.create(tmp_path / "keyring.json")
    config = tmp_path / "coffer.conf"
    config.write_text(f"[database]\nconnection = {database.url}\n[secrets]\nkeyring_file = {tmp_path}/keyring.json\n")
    return Deployment(config, Messaging(database, keyring.load(tmp_path / "keyring.json")))


def grouped(urls: Urls) -> tuple[Rows, Rows]:
    pools: Rows = [{"name": name, "uri": urls("sqlite"), "weight": 10, "group": "g1"} for name in "ab"]
    pools.append({"name": "loose", "uri": urls("sqlite"), "weight": 1, "group": None})
    return pools, [{"name": "fast", "pool_group": "g1"}, {"name": "hollow", "pool_group": "g2"}]


@pytest.mark.parametrize("kind", SOURCES)
def test_there_and_back(deployment: Deployment, urls: Urls, kind: str) -> None:
    pools, flavors = grouped(urls)
    source = zaqar(urls(kind), pools, flavors, queues=3)
    told = deployment.json("-", "--dry-run", stdin=source)
    assert (told["ready"], told["written"], told["queues"]) == (True, False, 3)
    assert {(f["action"], f["kind"], f["name"]) for f in told["findings"]} == {
        ("note", "pool", "loose"),
        ("note", "flavor", "hollow"),
        *(("add", "pool", name) for name in ("a", "b", "loose")),
        *(("add", "flavor", name) for name in ("fast", "hollow")),
    }
    assert deployment.bindings() == {}
    said = deployment.run("-", stdin=source)
    assert "loose" in said
    assert "3 queues and their messages stay where they are" in said
    assert not any(pool["uri"] in said for pool in pools)
    assert deployment.bindings() == {"fast": ("a", "b"), "hollow": ()}
    again = deployment.json("-", stdin=source)
    assert {f["action"] for f in again["findings"]} == {"note", "same"}
    assert len(deployment.json("-", "--undo", "--dry-run", stdin=source)["removed"]) == 5
    assert deployment.bindings()
    deployment.run("-", "--undo", stdin=source)
    assert deployment.bindings() == {}
    assert deployment.messaging.pools.names() == []


def test_the_shape_of_queens_from_zaqars_own_configuration(deployment: Deployment, urls: Urls, tmp_path: Path) -> None:
    pools = [{"name": "new", "uri": urls("sqlite"), "weight": 1, "group": None, "flavor": "modern"}]
    pools.append({"name": "old", "uri": urls("sqlite"), "weight": 1, "group": "g", "flavor": None})
    flavors = [{"name": "classic", "pool_group": "g"}, {"name": "modern", "pool_group": None}]
    conf = tmp_path / "zaqar.conf"
    conf.write_text(
        f"[DEFAULT]\npooling = true\n[drivers:management_store:sqlalchemy]\nuri = {zaqar(urls('sqlite'), pools, flavors)}\n"
    )
    deployment.run(str(conf))
    assert deployment.bindings() == {"classic": ("old",), "modern": ("new",)}


@pytest.mark.engines
@pytest.mark.parametrize("kind", [source for source in SOURCES if source not in SQL])
def test_a_configuration_that_names_mongodb(deployment: Deployment, urls: Urls, tmp_path: Path, kind: str) -> None:
    pools, flavors = grouped(urls)
    server, _, database = zaqar(urls(kind), pools, flavors).rpartition("/")
    conf = tmp_path / "zaqar.conf"
    conf.write_text(
        f"[drivers]\nmanagement_store = mongodb\n[drivers:management_store:mongodb]\nuri = {server}\ndatabase = {database}\n"
    )
    deployment.run(str(conf))
    assert deployment.bindings() == {"fast": ("a", "b"), "hollow": ()}


def test_a_shared_group_stops_until_it_is_assigned(deployment: Deployment, urls: Urls) -> None:
    pools, flavors = grouped(urls)
    source = zaqar(urls("sqlite"), pools, [*flavors, {"name": "twin", "pool_group": "g1"}])
    said = deployment.run(source, fails=True)
    assert "g1" in said
    assert "fast, twin" in said
    assert "--assign g1=FLAVOR" in said
    assert deployment.messaging.pools.names() == []
    deployment.run(source, "--assign", "g1=twin")
    assert deployment.bindings() == {"fast": (), "hollow": (), "twin": ("a", "b")}


def test_a_pool_that_cannot_be_used_gets_another_store(deployment: Deployment, urls: Urls, tmp_path: Path) -> None:
    pools = [{"name": "mongo", "uri": "mongodb://u:hidden@127.0.0.1:1", "weight": 1, "group": "g"}]
    source = zaqar(urls("sqlite"), pools, [{"name": "f", "pool_group": "g"}])
    told = deployment.json(source, fails=True)
    assert [(f["action"], f["name"]) for f in told["findings"] if f["action"] == "stop"] == [("stop", "mongo")]
    assert "hidden" not in json.dumps(told)
    stores = tmp_path / "stores"
    stores.write_text(f"# where they are now\nmongo = {urls('sqlite')}\n")
    deployment.run(source, "--stores", str(stores))
    assert deployment.bindings() == {"f": ("mongo",)}


def test_what_cannot_be_undone_without_loss_is_refused(deployment: Deployment, urls: Urls) -> None:
    source = zaqar(urls("sqlite"), *grouped(urls))
    deployment.run(source)
    deployment.messaging.queues.put("p", "q", {"_flavor": "fast"})
    assert "There are queues in pool" in deployment.run(source, "--undo", fails=True)
    assert deployment.bindings() == {"fast": ("a", "b"), "hollow": ()}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/nowhere"], "neither a file nor"),
        (["postgresql+psycopg://u:hidden@127.0.0.1:1/d"], "password"),
        (["sqlite:////nowhere/at/all.db"], "cannot be read"),
        (["mongodb://u:hidden@127.0.0.1:1,127.0.0.1:2/zaqar"], "password"),
        (["mongodb://127.0.0.1:1/zaqar"], "cannot be read"),
        (["-", "--assign", "nonsense"], "NAME=VALUE"),
    ],
)
def test_bad_input(deployment: Deployment, words: list[str], said: str) -> None:
    found = deployment.run(*words, stdin="sqlite://", fails=True)
    assert said in found
    assert "hidden" not in found


def test_a_password_comes_by_standard_input_and_goes_nowhere(deployment: Deployment) -> None:
    found = deployment.run("-", stdin="postgresql+psycopg://u:hidden@127.0.0.1:1/d", fails=True)
    assert "cannot be read" in found
    assert "hidden" not in found
