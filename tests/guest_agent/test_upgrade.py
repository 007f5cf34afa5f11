"""The agent is replaced in place: by one that works, by ones that don't, and with everything dying meanwhile."""

import base64
import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from guest_agent import PROTOCOL
from guests.archive import Archive
from tests.guest_agent.releases import ReplaceableServer, release
from tests.guest_agent.server import RpcError, Server

Change = Mapping[str, Callable[[str], str]]

SILENT = "import threading; threading.Event().wait()\n"
BAD: dict[str, Change] = {
    "does not start": {"service.py": lambda text: "raise SystemExit('broken')\n" + text},
    "says nothing": {"service.py": lambda text: text.replace("    server.serve_forever()", f"    {SILENT}")},
    "does not keep running": {
        "service.py": lambda text: text.replace(
            "    server.serve_forever()", "    threading.Timer(0.3, os._exit, [3]).start(); server.serve_forever()"
        ).replace("import socket\n", "import socket\nimport threading\n")
    },
    "has another channel": {"channel.py": lambda text: "raise SystemExit(1)\n" + text},
}


@pytest.fixture
def server() -> Iterator[ReplaceableServer]:
    server = ReplaceableServer()
    try:
        server.boot()
        yield server
    except BaseException:
        print(server.logs())  # noqa: T201 - pytest shows it with the failure
        raise
    finally:
        server.destroy()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return release(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return release(tmp_path_factory.mktemp("silent"), BAD["does not start"])


def test_the_new_agent_takes_over_with_the_jobs_that_wait(server: ReplaceableServer, good: Archive) -> None:
    assert server.call("hello")["release"] is None
    server.run("prepare", databases=[{"name": "before"}])
    engine = server.pid("engine")
    server.send(good)
    server.start("upgrade_agent", "op-upgrade", sha256=good.sha256)
    server.start("create_databases", "op-create", databases=[{"name": "after"}])
    assert server.wait("op-create")["state"] == "succeeded"
    assert server.call("job.status", job_id="op-upgrade")["result"] == {"release": good.release, "previous": "first"}
    assert server.call("hello")["release"] == good.release == server.current()
    assert server.call("databases.list")["databases"] == [{"name": "after"}, {"name": "before"}]
    assert server.pid("engine") == engine, "the database has been stopped"
    server.shut_down()
    server.boot()
    assert server.call("hello")["release"] == good.release


def test_releases_do_not_pile_up(server: ReplaceableServer, good: Archive, tmp_path: Path) -> None:
    archives = [good, *(release(tmp_path / name) for name in ("second", "third"))]
    for number, archive in enumerate(archives):
        assert server.upgrade(archive, f"op-{number}")["state"] == "succeeded"
    there = {entry.name for entry in server.releases.iterdir() if entry.is_dir() and not entry.is_symlink()}
    assert there == {"first", "incoming", archives[1].release, archives[2].release}
    assert list((server.releases / "incoming").iterdir()) == []


@pytest.mark.parametrize("fault", BAD)
def test_an_agent_that_does_not_work_is_taken_back(server: ReplaceableServer, tmp_path: Path, fault: str) -> None:
    server.run("prepare")
    bad = release(tmp_path / "bad", BAD[fault])
    status = server.upgrade(bad, "op-upgrade", patience=3)
    assert status["state"] == "failed"
    assert status["error"]["type"] == "UpgradeFailed"
    assert f"{bad.release} was taken back: it gave no answer within 3 s" in status["error"]["message"]
    assert server.call("hello")["release"] is None
    assert server.current() == "first"
    server.run("create_databases", databases=[{"name": "after"}])


def around(*functions: str) -> list[list[str]]:
    """Before and after each of these, below guest_agent."""
    return [[f"guest_agent.{function}", event] for function in functions for event in ("call", "return")]


AGENT_ENDS = around(
    "upgrade.incoming:Incoming._finish",
    "upgrade.releases:Releases.install",
    "upgrade.releases:_checked_manifest",
    "upgrade.plan:save",
    "services:Services.define",
    "services:Services.start",
    "upgrade.job:Upgrades._confirm",
    "services:Services.remove",
)
WATCHER_ENDS = around(
    "upgrade.real_watch:Watch._try",
    "upgrade.releases:Releases.switch",
    "upgrade.real_watch:Watch._restart",
    "upgrade.real_watch:Watch._answers",
    "upgrade.plan:save",
)
TRIAL_ENDS = WATCHER_ENDS + around("upgrade.releases:Releases.prune")
BACK_ENDS = WATCHER_ENDS + around("upgrade.real_watch:Watch._take_back")


def points(ends: list[list[str]], whom: str) -> list[list[str]]:
    return [[*end, whom] for end in ends]


RESTART_ENDS = around("upgrade.real_watch:Watch._restart")
PARTS = {
    "agent": points(AGENT_ENDS, "process"),
    "agent's server": points(AGENT_ENDS, "server"),
    "watcher": points(TRIAL_ENDS, "process"),
    # A server that boots after the switch has the new agent already: there is nothing to restart.
    "watcher's server": points([end for end in TRIAL_ENDS if end not in RESTART_ENDS], "server"),
    "server before the restart": points(RESTART_ENDS[:1], "server"),
    "server after the restart": points(RESTART_ENDS[1:], "server"),
}


@pytest.mark.parametrize("part", PARTS)
def test_an_upgrade_outlives_every_end_of_its_parts(server: ReplaceableServer, good: Archive, part: str) -> None:
    server.run("prepare")
    server.plan_ends(PARTS[part])
    status = server.upgrade(good, "op-upgrade")
    assert status["error"] is None
    assert status["result"] == {"release": good.release, "previous": "first"}
    assert server.ends == [], "a planned end did not come about"
    assert server.persist("hello")["release"] == good.release
    server.run("create_databases", databases=[{"name": "after"}])


@pytest.mark.parametrize("whom", ["process", "server"])
def test_a_roll_back_outlives_every_end_of_the_watcher(server: ReplaceableServer, silent: Archive, whom: str) -> None:
    server.run("prepare")
    server.plan_ends(points(BACK_ENDS, whom))
    status = server.upgrade(silent, "op-upgrade", patience=2)
    assert status["error"]["type"] == "UpgradeFailed"
    assert server.ends == [], "a planned end did not come about"
    assert server.current() == "first"
    server.run("create_databases", databases=[{"name": "after"}])


def test_an_archive_comes_in_pieces_and_goes_on_where_it_broke_off(server: ReplaceableServer, good: Archive) -> None:
    description = {"sha256": good.sha256, "size": len(good.content)}
    first, second = (base64.b64encode(good.content[at : at + 1000]).decode() for at in (0, 1000))
    receive = server.call
    assert receive("agent.receive", **description) == {"received": 0}
    assert receive("agent.receive", **description, offset=1000, data=second) == {"received": 0}, "a piece is missing before it"
    assert receive("agent.receive", **description, offset=0, data=first) == {"received": 1000}
    assert receive("agent.receive", **description, offset=0, data=first) == {"received": 1000}, "taken twice"
    other = {"sha256": "0" * 64, "size": 4}
    assert receive("agent.receive", **other) == {"received": 0}
    assert receive("agent.receive", **description) == {"received": 0}, "two archives lie there"
    with pytest.raises(RpcError, match="another digest"):
        receive("agent.receive", **other, offset=0, data=base64.b64encode(b"abcd").decode())
    server.send(good)
    assert receive("agent.receive", **description) == {"received": len(good.content)}


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"sha256": "A" * 64, "size": 1}, "SHA-256"),
        ({"sha256": "0" * 64, "size": 1 << 30}, "whole number"),
        ({"sha256": "0" * 64, "size": 8, "data": "?"}, "base64"),
    ],
)
def test_what_is_no_piece_is_refused(server: ReplaceableServer, params: dict[str, object], words: str) -> None:
    with pytest.raises(RpcError, match=words):
        server.call("agent.receive", **params)


def test_what_was_not_sent_cannot_be_installed(server: ReplaceableServer) -> None:
    with pytest.raises(RpcError, match="InvalidRequest: The archive has not been received whole"):
        server.run("upgrade_agent", sha256="0" * 64)


def test_a_server_without_releases_says_so(stub: Server) -> None:
    with pytest.raises(RpcError, match="NotSupported"):
        stub.call("agent.receive", sha256="0" * 64, size=1)
    with pytest.raises(RpcError, match="NotSupported"):
        stub.start("upgrade_agent", sha256="0" * 64)


def packed(members: list[tuple[tarfile.TarInfo, bytes]], like: Archive) -> Archive:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return archive_of(gzip.compress(buffer.getvalue()), like)


def archive_of(content: bytes, like: Archive) -> Archive:

    return Archive(like.version, like.protocol, hashlib.sha256(content).hexdigest(), (), content)


def link(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.mark.parametrize(
    "member",
    [tarfile.TarInfo("../outside"), tarfile.TarInfo("/etc/outside"), tarfile.TarInfo("a/../../b"), link("guest_agent", "/etc")],
    ids=lambda member: member.name,
)
def test_an_archive_reaches_nothing_outside(server: ReplaceableServer, good: Archive, member: tarfile.TarInfo) -> None:
    evil = packed([(member, b"x" if member.isreg() else b"")], good)
    server.send(evil)
    with pytest.raises(RpcError, match="is no release of the agent"):
        server.run("upgrade_agent", sha256=evil.sha256)
    assert sorted(entry.name for entry in server.releases.iterdir()) == ["base", "current", "first", "incoming"]


def test_what_is_no_archive_at_all(server: ReplaceableServer, good: Archive) -> None:
    for content in (b"not gzip", good.content[:5000], gzip.compress(b"not tar" * 200)):
        archive = archive_of(content, good)
        server.send(archive)
        with pytest.raises(RpcError, match="InvalidRequest"):
            server.run("upgrade_agent", sha256=archive.sha256)


@pytest.mark.parametrize("name", ["PROTOCOL", "JOURNAL"])
@pytest.mark.parametrize(("steps", "taken"), [(-1, True), (1, True), (2, False)])
def test_the_window_is_one_release_wide_both_ways(
    server: ReplaceableServer, tmp_path: Path, name: str, steps: int, taken: bool
) -> None:
    archive = release(
        tmp_path / "other", {"__init__.py": lambda text: text.replace(f"{name} = 1", f"{name} = {PROTOCOL + steps}")}
    )
    server.send(archive)
    if taken:
        assert server.run("upgrade_agent", sha256=archive.sha256)["release"] == archive.release
        assert server.upgrade(release(tmp_path / "back"), "op-back")["state"] == "succeeded"
    else:
        with pytest.raises(RpcError, match=r"NotSupported: Release 1\.0\.0 has .* go by a release in between"):
            server.run("upgrade_agent", sha256=archive.sha256)
    assert server.call("hello")["protocol"] == PROTOCOL


def test_unfinished_writes_of_a_killed_upgrade_are_swept(server: ReplaceableServer, good: Archive) -> None:
    (server.releases / ".0123.left/guest_agent").mkdir(parents=True)
    assert server.upgrade(good, "op-upgrade")["state"] == "succeeded"
    assert not (server.releases / ".0123.left").exists()
    manifest = json.loads((server.releases / good.release / "manifest.json").read_text())
    assert manifest["version"] == good.version
    shutil.rmtree(server.releases / "first/guest_agent/__pycache__", ignore_errors=True)
