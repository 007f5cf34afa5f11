"""Subscriptions to events, the outbox of what is still to be told, and each instance's number of its newest event.

Revision ID: 0006
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
TABLE: Any = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    op.add_column("instances", sa.Column("event_sequence", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("instances", sa.Column("exists_until", MOMENT))
    _subscriptions()
    op.create_table(
        "event_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("subscription_id", sa.String(36), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event_outbox"),
        **TABLE,
    )
    op.create_index("ix_event_outbox_subscription", "event_outbox", ["subscription_id", "id"])


def downgrade() -> None:
    op.drop_table("event_outbox")
    op.drop_table("event_subscriptions")
    with op.batch_alter_table("instances") as instances:
        instances.drop_column("exists_until")
        instances.drop_column("event_sequence")


def _subscriptions() -> None:
    op.create_table(
        "event_subscriptions",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("instance_id", sa.String(36)),
        sa.Column("types", sa.JSON()),
        sa.Column("queue", sa.String(64), nullable=False),
        sa.Column("flavor", sa.String(64)),
        sa.Column("ttl", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("retry_at", MOMENT),
        sa.Column("reason", sa.String(255), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event_subscriptions"),
        **TABLE,
    )
    columns = ["project_id", "created_at", "id"]
    op.create_index("ix_event_subscriptions_project_created", "event_subscriptions", columns)
