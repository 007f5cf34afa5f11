"""Guest images in a real Glance, named by COFFER_TESTBED_CLOUDS: uploaded once, whatever happens between."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openstack
import pytest
from click.testing import CliRunner

from cli.main import main
from clouds.openstack.images import DIGEST, HARDWARE, ImageFile, connect, upload_image
from clouds.openstack.settings import Credentials
from clouds.ports import CloudError

CLOUDS_FILE = os.environ.get("COFFER_TESTBED_CLOUDS", "")
pytestmark = [pytest.mark.openstack, pytest.mark.skipif(not CLOUDS_FILE, reason="COFFER_TESTBED_CLOUDS names no OpenStack")]
NAME = f"coffer-test-image-{os.getpid()}"


@pytest.fixture
def connection() -> Iterator[Any]:
    """As the service user, from an operator's own words."""
    auth = (
        openstack.config.OpenStackConfig(config_files=[CLOUDS_FILE], load_envvars=False).get_one("testbed-service").config["auth"]
    )
    who = {name: auth[name] for name in ("auth_url", "username", "password", "project_name")}
    with connect(Credentials(**who, interface="public")) as connection:
        yield connection
        for image in list(connection.image.images(name=NAME)):
            connection.image.delete_image(image.id)


@pytest.fixture
def image(tmp_path: Path) -> ImageFile:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"\x00" * 65536)
    return ImageFile(path, NAME, "raw", "ab" * 32, 1, {"coffer_engine": "mariadb"})


def held(connection: Any) -> list[Any]:
    return list(connection.image.images(name=NAME))


def test_an_image_is_uploaded_once_and_says_what_it_is(connection: Any, image: ImageFile) -> None:
    made = upload_image(connection, image)
    assert upload_image(connection, image) == made
    (found,) = held(connection)
    assert (found.id, found.status, found.size, found.min_disk, found.visibility) == (made, "active", 65536, 1, "private")
    raw = connection.image.get(f"/images/{made}").json()
    assert raw[DIGEST] == image.rootfs_sha256
    assert raw["coffer_engine"] == "mariadb"
    assert {name: raw[name] for name in HARDWARE} == dict(HARDWARE)


def test_other_contents_are_another_image(connection: Any, image: ImageFile) -> None:
    first, second = upload_image(connection, image), upload_image(connection, replace(image, rootfs_sha256="cd" * 32))
    assert first != second
    assert len(held(connection)) == 2


def test_what_a_broken_upload_has_left_is_removed(connection: Any, image: ImageFile) -> None:
    left = connection.image.post(
        "/images", json={"name": NAME, "disk_format": "raw", "container_format": "bare", DIGEST: image.rootfs_sha256}
    ).json()
    assert left["status"] == "queued"
    made = upload_image(connection, image)
    assert [found.id for found in held(connection)] == [made] != [left["id"]]


def test_what_glance_refuses_is_told_with_its_status(connection: Any, image: ImageFile) -> None:
    with pytest.raises(CloudError) as refused:
        upload_image(connection, replace(image, format="no-such-format"))
    assert refused.value.status == 400


def test_one_command_uploads_and_registers(connection: Any, image: ImageFile, tmp_path: Path) -> None:
    auth = connection.config.config["auth"]
    conf = tmp_path / "coffer.conf"
    words = [f"{name} = {auth[name]}" for name in ("auth_url", "username", "password", "project_name")]
    lines = [
        "[database]",
        f"connection = sqlite:///{tmp_path}/coffer.sqlite",
        "[cloud]",
        "driver = openstack",
        "[service_credentials]",
    ]
    conf.write_text("\n".join([*lines, *words, "interface = public"]) + "\n")
    system = {"name": "coffer-mariadb", "version": "1.0.0-x", "hashes": [{"alg": "SHA-256", "content": image.rootfs_sha256}]}
    engine = {"name": "mariadb-server", "version": "1:10.11.18-0+deb12u1"}
    listed = {"metadata": {"component": system}, "components": [engine]}
    image.path.with_name("disk.raw.cdx.json").write_text(json.dumps(listed))
    name = f"coffer-mariadb-10.11.18-{image.rootfs_sha256[:12]}"
    try:
        run("db", "upgrade", "--config", str(conf))
        told = json.loads(run("image", "upload", str(image.path), "--register", "--json", "--config", str(conf)))
        assert told["datastore_version"] == "mariadb 10.11: registered"
        again = json.loads(run("image", "upload", str(image.path), "--register", "--json", "--config", str(conf)))
        assert again == {"image": told["image"], "datastore_version": "mariadb 10.11: unchanged"}
        (version,) = json.loads(run("datastore", "list", "--json", "--config", str(conf)))
        assert (version["datastore"], version["version"], version["image"]) == ("mariadb", "10.11", told["image"])
    finally:
        for found in list(connection.image.images(name=name)):
            connection.image.delete_image(found.id)


def run(*words: str) -> str:
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    return done.stdout
