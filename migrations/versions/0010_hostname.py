"""The name in DNS that leads to an instance.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instances", sa.Column("hostname", sa.String(255)))


def downgrade() -> None:
    with op.batch_alter_table("instances") as instances:
        instances.drop_column("hostname")
