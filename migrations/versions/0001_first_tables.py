"""Datastores, flavors, instances, operations with their steps, quotas and secrets.

Revision ID: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
# Names compare byte by byte, as they do on the other engines, whatever the server's defaults are.
TABLE: Any = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    _catalog()
    _instances()
    _operations()
    _quotas()
    _secrets()


def downgrade() -> None:
    tables = (
        "secrets",
        "quota_usages",
        "quota_limits",
        "operation_steps",
        "operations",
        "instances",
        "flavors",
        "datastore_versions",
        "datastores",
    )
    for table in tables:
        op.drop_table(table)


def _catalog() -> None:
    op.create_table(
        "datastores",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("default_version_id", sa.String(36)),
        sa.PrimaryKeyConstraint("id", name="pk_datastores"),
        sa.UniqueConstraint("name", name="uq_datastores_name"),
        **TABLE,
    )
    op.create_table(
        "datastore_versions",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("datastore_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("version", sa.String(255), nullable=False),
        sa.Column("manager", sa.String(64), nullable=False),
        sa.Column("image_id", sa.String(64), nullable=False),
        sa.Column("packages", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_datastore_versions"),
        sa.ForeignKeyConstraint(["datastore_id"], ["datastores.id"], name="fk_datastore_versions_datastore_id"),
        sa.UniqueConstraint("datastore_id", "name", "version", name="uq_datastore_versions_name"),
        **TABLE,
    )
    op.create_table(
        "flavors",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("ram_mb", sa.Integer(), nullable=False),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("disk_gb", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_flavors"),
        sa.UniqueConstraint("name", name="uq_flavors_name"),
        **TABLE,
    )


def _instances() -> None:
    op.create_table(
        "instances",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("flavor_id", sa.String(64), nullable=False),
        sa.Column("volume_size", sa.Integer(), nullable=False),
        sa.Column("volume_type", sa.String(255)),
        sa.Column("datastore_version_id", sa.String(36), nullable=False),
        sa.Column("addresses", sa.JSON(), nullable=False),
        sa.Column("server_key", sa.String(128)),
        sa.Column("management_address", sa.String(64)),
        sa.Column("management_port", sa.Integer()),
        sa.Column("channel_key_ref", sa.String(36)),
        sa.Column("channel_host_key", sa.String(255)),
        sa.Column("operation_id", sa.String(36)),
        sa.Column("delete_operation_id", sa.String(36)),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("quota_held", sa.Boolean(), nullable=False),
        sa.Column("fault_message", sa.String(255)),
        sa.Column("fault_details", sa.Text()),
        sa.Column("fault_at", MOMENT),
        sa.Column("root_enabled_at", MOMENT),
        sa.Column("root_enabled_by", sa.String(64)),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_instances"),
        sa.ForeignKeyConstraint(["datastore_version_id"], ["datastore_versions.id"], name="fk_instances_datastore_version_id"),
        **TABLE,
    )
    op.create_index("ix_instances_project_created", "instances", ["project_id", "deleted_at", "created_at", "id"])


def _operations() -> None:
    op.create_table(
        "operations",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("workflow_id", sa.String(128), nullable=False),
        sa.Column("instance_id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("input", sa.JSON(), nullable=False),
        sa.Column("retry_of", sa.String(36)),
        sa.Column("cancel_requested_at", MOMENT),
        sa.Column("error_type", sa.String(64), nullable=False),
        sa.Column("error_message", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT),
        sa.Column("finished_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_operations"),
        **TABLE,
    )
    op.create_index("ix_operations_state_created", "operations", ["state", "created_at"])
    op.create_index("ix_operations_project_created", "operations", ["project_id", "created_at", "id"])
    op.create_index("ix_operations_instance", "operations", ["instance_id"])
    op.create_table(
        "operation_steps",
        sa.Column("operation_id", sa.String(36), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("progress", sa.String(255), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.PrimaryKeyConstraint("operation_id", "id", name="pk_operation_steps"),
        sa.ForeignKeyConstraint(["operation_id"], ["operations.id"], name="fk_operation_steps_operation_id", ondelete="CASCADE"),
        **TABLE,
    )


def _quotas() -> None:
    op.create_table(
        "quota_limits",
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("resource", sa.String(32), nullable=False),
        sa.Column("hard_limit", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "resource", name="pk_quota_limits"),
        **TABLE,
    )
    op.create_table(
        "quota_usages",
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("resource", sa.String(32), nullable=False),
        sa.Column("in_use", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "resource", name="pk_quota_usages"),
        **TABLE,
    )


def _secrets() -> None:
    op.create_table(
        "secrets",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(36), nullable=False),
        sa.Column("purpose", sa.String(64), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_secrets"),
        **TABLE,
    )
    op.create_index("ix_secrets_owner", "secrets", ["owner"])
