"""What each guest has said of itself last.

Revision ID: 0005
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
TABLE: Any = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    op.create_table(
        "guest_telemetry",
        sa.Column("instance_id", sa.String(36), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("engine_state", sa.String(16), nullable=False),
        sa.Column("engine_wanted", sa.Boolean(), nullable=False),
        sa.Column("engine_version", sa.String(64)),
        sa.Column("engine_deaths", sa.BigInteger(), nullable=False),
        sa.Column("volume_total", sa.BigInteger()),
        sa.Column("volume_used", sa.BigInteger()),
        sa.Column("load_average", sa.JSON(), nullable=False),
        sa.Column("root_enabled", sa.Boolean()),
        sa.Column("agent_version", sa.String(64), nullable=False),
        sa.Column("boot_id", sa.String(64), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("jobs", sa.JSON(), nullable=False),
        sa.Column("url_expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("instance_id", name="pk_guest_telemetry"),
        sa.ForeignKeyConstraint(["instance_id"], ["instances.id"], name="fk_guest_telemetry_instance_id", ondelete="CASCADE"),
        **TABLE,
    )


def downgrade() -> None:
    op.drop_table("guest_telemetry")
