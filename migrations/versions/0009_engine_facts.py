"""What has been made of guests' reports: whether the engine's owner knows it to be up, its deaths, and whether the guest is silent.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
TABLE = sa.table("guest_telemetry", sa.column("engine_up", sa.Boolean), sa.column("engine_state", sa.String))


def upgrade() -> None:
    op.add_column("guest_telemetry", sa.Column("engine_up", sa.Boolean()))
    op.add_column("guest_telemetry", sa.Column("deaths", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("guest_telemetry", sa.Column("died_at", MOMENT))
    op.add_column("guest_telemetry", sa.Column("silent_since", MOMENT))
    op.execute(sa.update(TABLE).values(engine_up=TABLE.c.engine_state == "running"))


def downgrade() -> None:
    with op.batch_alter_table("guest_telemetry") as telemetry:
        for name in ("silent_since", "died_at", "deaths", "engine_up"):
            telemetry.drop_column(name)
