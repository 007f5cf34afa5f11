"""Pools, flavors and the placement of message queues; pools and flavors still meet in a group.

Revision ID: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE: Any = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    op.create_table(
        "messaging_pool_groups",
        sa.Column("name", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_messaging_pool_groups"),
        **TABLE,
    )
    _pools()
    op.create_table(
        "messaging_flavors",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("pool_group", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_messaging_flavors"),
        **TABLE,
    )
    _queues()
    counters = op.create_table(
        "messaging_counters",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_messaging_counters"),
        **TABLE,
    )
    op.bulk_insert(counters, [{"name": "generation", "value": 0}, {"name": "placement", "value": 0}])


def downgrade() -> None:
    for table in ("messaging_counters", "messaging_queues", "messaging_flavors", "messaging_pools", "messaging_pool_groups"):
        op.drop_table(table)


def _pools() -> None:
    op.create_table(
        "messaging_pools",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("pool_group", sa.String(64)),
        sa.Column("uri_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("uri_digest", sa.String(64), nullable=False),
        sa.Column("store_id", sa.String(64), nullable=False),
        sa.Column("scheme", sa.String(32), nullable=False),
        sa.Column("weight", sa.BigInteger(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_messaging_pools"),
        sa.UniqueConstraint("uri_digest", name="uq_messaging_pools_uri_digest"),
        sa.UniqueConstraint("store_id", name="uq_messaging_pools_store_id"),
        **TABLE,
    )


def _queues() -> None:
    op.create_table(
        "messaging_queues",
        sa.Column("project", sa.String(256), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("pool", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("target", sa.String(64)),
        sa.Column("target_generation", sa.BigInteger()),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "name", name="pk_messaging_queues"),
        sa.ForeignKeyConstraint(["pool"], ["messaging_pools.name"], name="fk_messaging_queues_pool"),
        sa.ForeignKeyConstraint(["target"], ["messaging_pools.name"], name="fk_messaging_queues_target"),
        **TABLE,
    )
    op.create_index("ix_messaging_queues_pool", "messaging_queues", ["pool"])
    op.create_index("ix_messaging_queues_target", "messaging_queues", ["target"])
