"""Who may reach an instance, and where its servers are in relation to each other.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instances", sa.Column("access", sa.JSON()))
    op.add_column("instances", sa.Column("locality", sa.String(32)))


def downgrade() -> None:
    with op.batch_alter_table("instances") as instances:
        instances.drop_column("locality")
        instances.drop_column("access")
