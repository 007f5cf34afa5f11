"""What is taken for a template, and how it is copied; without an engine."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from guest_agent.template import directory as templates
from guest_agent.template.directory import Identity

HERE = Identity("mariadb", "mariadbd 10.11.18-1", ("--no-defaults", "--root=root"))
OTHERS = [
    Identity("mariadb", "mariadbd 10.11.18-2", HERE.options),
    Identity("mariadb", HERE.server, ("--no-defaults", "--root=other")),
    Identity("mysql", HERE.server, HERE.options),
]
LOG_BYTES = 4 << 20


def fill(data: Path) -> None:
    (data / "system").mkdir()
    (data / "system" / "users").write_bytes(b"u" * 70_000)
    (data / "empty").touch()
    with (data / "log").open("wb") as log:
        log.write(b"begin")
        log.truncate(LOG_BYTES)


def refuse(_: Path) -> None:
    raise AssertionError("there was no need to make it")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    target = tmp_path / "fresh"
    target.mkdir()
    return target


def test_a_template_is_made_once_and_copied_whole(directory: Path, target: Path) -> None:
    made = templates.make(directory, HERE, fill)
    assert templates.make(directory, HERE, refuse) == made
    assert templates.copy(directory, HERE, target, None)
    assert (target / "system" / "users").read_bytes() == b"u" * 70_000
    assert (target / "log").read_bytes() == b"begin" + bytes(LOG_BYTES - 5)
    assert sorted(path.name for path in target.rglob("*")) == ["empty", "log", "system", "users"]
    assert {path.stat().st_mode & 0o777 for path in target.rglob("*") if path.is_file()} == {0o660}


def test_a_template_takes_little_room_and_a_copy_has_all_of_its_own(directory: Path, target: Path) -> None:
    made = templates.make(directory, HERE, fill)
    templates.copy(directory, HERE, target, None)
    assert (made / "data" / "log").stat().st_blocks * 512 < LOG_BYTES
    assert (target / "log").stat().st_blocks * 512 >= LOG_BYTES


def test_only_its_maker_can_change_a_template(directory: Path) -> None:
    made = templates.make(directory, HERE, fill)
    assert all(path.stat().st_uid == os.geteuid() and not path.stat().st_mode & 0o022 for path in [made, *made.rglob("*")])


@pytest.mark.parametrize("other", OTHERS)
def test_what_fits_but_nearly_is_not_used(directory: Path, target: Path, other: Identity) -> None:
    templates.make(directory, other, fill)
    assert not templates.copy(directory, HERE, target, None)
    # Nor under this one's name.
    (directory / other.name).rename(directory / HERE.name)
    assert not templates.copy(directory, HERE, target, None)
    assert list(target.iterdir()) == []


def test_without_any_template_there_is_nothing_to_copy(directory: Path, target: Path) -> None:
    assert not templates.copy(directory, HERE, target, None)


def shorten(made: Path) -> None:
    os.truncate(made / "data" / "system" / "users", 69_999)


def lose(made: Path) -> None:
    (made / "data" / "system" / "users").unlink()


def spoil(made: Path) -> None:
    (made / "template.json").write_text('{"identity"')


@pytest.mark.parametrize("damage", [shorten, lose, spoil])
def test_a_damaged_template_is_none_and_is_made_anew(directory: Path, target: Path, damage: Callable[[Path], None]) -> None:
    made = templates.make(directory, HERE, fill)
    damage(made)
    assert not templates.copy(directory, HERE, target, None)
    assert list(target.iterdir()) == []
    templates.make(directory, HERE, fill)
    assert templates.copy(directory, HERE, target, None)


def test_a_failed_maker_leaves_nothing(directory: Path) -> None:
    def fail(data: Path) -> None:
        fill(data)
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        templates.make(directory, HERE, fail)
    assert [path.name for path in directory.iterdir()] == [".lock"]


def test_a_new_version_takes_the_place_of_the_old_one(directory: Path) -> None:
    mysql = Identity("mysql", "8.0", ())
    for identity in (OTHERS[0], mysql, HERE):
        templates.make(directory, identity, fill)
    assert sorted(path.name for path in directory.iterdir()) == [".lock", HERE.name, mysql.name]
