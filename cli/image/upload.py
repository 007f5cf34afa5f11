"""A built image into the cloud's image service, and into the list of what tenants may choose from."""

import json
from dataclasses import dataclass
from pathlib import Path

from oslo_config.cfg import ConfigOpts

from cli import catalog
from cli.deployment import database
from cli.errors import CliError
from cli.image.recipes import RECIPES, Recipe

GIB = 1 << 30
SUFFIXES = {".qcow2": "qcow2", ".raw": "raw"}


@dataclass(frozen=True)
class Description:
    """What the list of contents beside an image says of it."""

    recipe: Recipe
    rootfs_sha256: str
    engine_version: str
    agent: str

    @property
    def version(self) -> str:
        """As tenants name it: as many parts of the engine's number as stay the same through its updates."""
        return ".".join(self.engine_version.split(".")[: self.recipe.version_parts])


def describe(image: Path) -> Description:
    """Raises CliError for a file without its list of contents."""
    from cli.image.sbom import version_of

    beside = image.with_name(image.name + ".cdx.json")
    try:
        listed = json.loads(beside.read_text())
        system = listed["metadata"]["component"]
        recipe = RECIPES[system["name"].removeprefix("coffer-")]
        sha256 = system["hashes"][0]["content"]
        return Description(recipe, sha256, version_of(listed["components"], recipe.packages[0]), system["version"])
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise CliError(
            f"{beside} does not say what {image} is", "build the image with coffer image build, which writes both"
        ) from error


def upload(conf: ConfigOpts, path: Path, description: Description) -> str:
    """The image's id.  Raises CliError."""
    from clouds.openstack.images import ImageFile, connect, upload_image
    from clouds.ports import CloudError
    from worker import openstack_settings

    if conf.cloud.driver != "openstack":
        raise CliError("this Coffer builds its servers without images", "[cloud] driver has to be openstack")
    format_ = SUFFIXES.get(path.suffix)
    if format_ is None:
        raise CliError(f"{path} is no disk", f"build it with --format qcow2; its name ends with {' or '.join(SUFFIXES)}")
    image = ImageFile(
        path,
        name=f"coffer-{description.recipe.engine}-{description.engine_version}-{description.rootfs_sha256[:12]}",
        format=format_,
        rootfs_sha256=description.rootfs_sha256,
        min_disk_gb=description.recipe.min_disk_gb,
        properties={"coffer_engine": description.recipe.engine, "coffer_agent": description.agent},
    )
    try:
        with connect(openstack_settings(conf).credentials) as connection:
            return upload_image(connection, image)
    except CloudError as error:
        raise CliError(str(error), "coffer status says which service is away; the same command goes on from there") from error


def register(conf: ConfigOpts, description: Description, image_id: str, default: bool) -> str:
    """New servers of this version boot from the image.  Gives what was done, in a word."""
    engine, version = description.recipe.engine, description.version
    with database(conf) as db, db.write() as s:
        return catalog.register(s, catalog.Version(engine, version, version, engine, image_id), default)
