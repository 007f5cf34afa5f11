"""Datastores, their versions, and the flavors a server may have."""

from sqlalchemy import JSON, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base, new_id


class Datastore(Base):
    __tablename__ = "datastores"

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    default_version_id: Mapped[str | None] = mapped_column(String(36))
    versions: Mapped[list["DatastoreVersion"]] = relationship(back_populates="datastore", order_by="DatastoreVersion.name")


class DatastoreVersion(Base):
    __tablename__ = "datastore_versions"
    __table_args__ = (UniqueConstraint("datastore_id", "name", "version", name="uq_datastore_versions_name"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    datastore_id: Mapped[str] = mapped_column(ForeignKey("datastores.id"))
    name: Mapped[str] = mapped_column(String(255))
    version: Mapped[str] = mapped_column(String(255))
    """The engine's own version number, e.g. 10.11."""
    manager: Mapped[str] = mapped_column(String(64))
    """Name of the guest agent's datastore manager."""
    image_id: Mapped[str] = mapped_column(String(64), default="")
    packages: Mapped[list[str]] = mapped_column(JSON, default=list)
    active: Mapped[bool] = mapped_column(default=True)
    datastore: Mapped[Datastore] = relationship(back_populates="versions")


class FlavorRow(Base):
    """A flavor as offered to tenants: RAM in MiB, disk in GiB."""

    __tablename__ = "flavors"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    ram_mb: Mapped[int]
    vcpus: Mapped[int]
    disk_gb: Mapped[int]
