"""What is broken by hand behind Coffer's back is noticed within a minute, told to the tenant, and mended by `coffer reconcile --fix`."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.engines import Login, use_mariadb
from cli.rest import Api, sign_in
from cli.statedir import StateDir
from clouds.local import initprocess, local_cloud, volumes
from clouds.local.state import Record, State
from tests.support.local_guest import eventually
from tests.support.stack import COFFER, running

pytestmark = [pytest.mark.engines, pytest.mark.timeout(400)]

A_MINUTE = 60.0
WITHIN = 120.0
ADA: dict[str, Any] = {"name": "ada", "password": "Gr8-secret", "databases": [{"name": "app"}]}
BODY = {
    "name": "meddled",
    "flavorRef": "1",
    "volume": {"size": 1},
    "datastore": {"type": "mariadb", "version": "10.11"},
    "databases": [{"name": "app"}],
    "users": [ADA],
}


@dataclass(frozen=True)
class Meddled:
    """An instance, and the hands of somebody who knows nothing of Coffer."""

    api: Api
    cloud: State
    config: Path
    id: str

    def show(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/instances/{self.id}")["instance"]
        return found

    def is_(self, status: str, seconds: float) -> bool:
        return bool(eventually(lambda: self.show()["status"] == status, seconds))

    def visits(self) -> int:
        address = self.show()["addresses"][0]["address"]
        return use_mariadb(Login(address, "ada", str(ADA["password"]), "app")).visits

    def server(self) -> Record:
        (record,) = self.cloud.servers.all()
        return record

    def switch_off(self) -> Record:
        server = self.server()
        initprocess.stop(self.cloud.servers.directory / server["id"], server["address"])
        return server

    def take_volume(self) -> None:
        (volume,) = self.cloud.volumes.all()
        volumes.detach(self.cloud, volume)

    def reconcile(self, *words: str) -> list[dict[str, Any]]:
        command = [str(COFFER), "reconcile", *words, "--json", "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=A_MINUTE, check=False)
        assert done.stdout, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows


@pytest.fixture(scope="module")
def meddled() -> Iterator[Meddled]:
    with running() as stack:
        api = sign_in(StateDir(stack.state))
        config = stack.state / "no-grace.conf"
        config.write_text((stack.state / "coffer.conf").read_text() + "\n[reconcile]\ngrace = 0\n")
        instance_id = api.post("/instances", {"instance": BODY})["instance"]["id"]
        yield Meddled(api, State(stack.state / "cloud"), config, instance_id)


def test_a_server_switched_off_without_its_volume_is_told_and_mended(meddled: Meddled) -> None:
    assert meddled.is_("ACTIVE", WITHIN), meddled.show()
    assert meddled.visits() == 1
    assert meddled.reconcile() == []
    meddled.switch_off()
    meddled.take_volume()
    assert meddled.is_("ERROR", A_MINUTE)
    assert "switched off" in meddled.show()["fault"]["message"]
    assert {one["kind"] for one in meddled.reconcile()} <= {"stopped", "detached"}
    outcomes = {one["outcome"] for one in meddled.reconcile("--fix", "--yes")}
    assert len(outcomes) == 1, "one operation for both"
    assert meddled.is_("ACTIVE", WITHIN), meddled.show()
    assert meddled.visits() == 2, "its data is what it was"
    assert meddled.reconcile() == []


def test_a_server_that_comes_back_by_itself_is_active_again(meddled: Meddled) -> None:
    server = meddled.switch_off()
    assert meddled.is_("ERROR", A_MINUTE)
    local_cloud(meddled.cloud.directory).compute.reboot_server(server["key"])
    assert meddled.is_("ACTIVE", A_MINUTE), meddled.show()
    assert "fault" not in meddled.show()


def test_a_server_removed_by_hand_is_told_and_its_instance_can_be_deleted(meddled: Meddled) -> None:
    server = meddled.switch_off()
    shutil.rmtree(meddled.cloud.servers.directory / server["id"])
    meddled.cloud.servers.remove(server["id"])
    assert meddled.is_("ERROR", A_MINUTE)
    assert "is gone" in meddled.show()["fault"]["message"]
    assert [(one["kind"], one["thing"], one["repair"]) for one in meddled.reconcile()] == [("lost", "server", "")]
    meddled.api.delete(f"/instances/{meddled.id}")
    assert eventually(lambda: meddled.reconcile() == [], WITHIN)
    assert eventually(lambda: meddled.api.get("/instances")["instances"] == [], WITHIN)
    assert (meddled.cloud.servers.all(), meddled.cloud.volumes.all(), meddled.cloud.ports.all()) == ([], [], [])
