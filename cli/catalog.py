"""What tenants may choose from: datastores with their versions, and flavors."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import Database, Datastore, DatastoreVersion, FlavorRow


@dataclass(frozen=True)
class Version:
    datastore: str
    name: str
    number: str
    manager: str
    image_id: str = ""


DEFAULT_DATASTORE = "mariadb"
VERSIONS = (
    Version("mariadb", "10.11", "10.11", "mariadb"),
    Version("postgresql", "15", "15", "postgresql"),
    Version("redis", "7.0", "7.0", "redis"),
)
FLAVORS = (
    FlavorRow(id="1", name="db.tiny", ram_mb=512, vcpus=1, disk_gb=5),
    FlavorRow(id="2", name="db.small", ram_mb=1024, vcpus=1, disk_gb=10),
    FlavorRow(id="3", name="db.medium", ram_mb=2048, vcpus=2, disk_gb=20),
    FlavorRow(id="4", name="db.large", ram_mb=4096, vcpus=2, disk_gb=40),
    FlavorRow(id="5", name="db.xlarge", ram_mb=8192, vcpus=4, disk_gb=80),
)


def seed(database: Database) -> None:
    """Make sure of the datastores and flavors of the embedded cloud; what an operator has changed stays as it is."""
    with database.write() as s:
        known = {(datastore.name, version.name) for datastore, version in versions(s)}
        for version in VERSIONS:
            if (version.datastore, version.name) not in known:
                register(s, version)
        if s.scalar(select(FlavorRow.id).limit(1)) is None:
            s.add_all([FlavorRow(id=f.id, name=f.name, ram_mb=f.ram_mb, vcpus=f.vcpus, disk_gb=f.disk_gb) for f in FLAVORS])


def register(s: Session, version: Version, default: bool = False) -> str:
    """Find or make a datastore and one version of it; its first version becomes the default.  Gives what was done, in a word."""
    datastore = s.scalar(select(Datastore).where(Datastore.name == version.datastore))
    if datastore is None:
        datastore = Datastore(name=version.datastore)
        s.add(datastore)
        s.flush()
    same = DatastoreVersion.name == version.name, DatastoreVersion.version == version.number
    row = s.scalar(select(DatastoreVersion).where(DatastoreVersion.datastore_id == datastore.id, *same))
    outcome = "unchanged"
    if row is None:
        row = DatastoreVersion(datastore_id=datastore.id, name=version.name, version=version.number, manager=version.manager)
        s.add(row)
        outcome = "registered"
    elif (row.manager, row.image_id) != (version.manager, version.image_id):
        outcome = "changed"
    row.manager, row.image_id = version.manager, version.image_id
    s.flush()
    if default or datastore.default_version_id is None:
        datastore.default_version_id = row.id
    return outcome


def versions(s: Session) -> Sequence[tuple[Datastore, DatastoreVersion]]:
    rows = s.execute(
        select(Datastore, DatastoreVersion).join(DatastoreVersion.datastore).order_by(Datastore.name, DatastoreVersion.name)
    )
    return [(datastore, version) for datastore, version in rows]


def flavors(s: Session) -> Sequence[FlavorRow]:
    return s.scalars(select(FlavorRow).order_by(FlavorRow.ram_mb, FlavorRow.id)).all()
