"""Pool groups go.  Refuses while a pool has only its group to say which flavor it belongs to.

Revision ID: 0004
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLE: Any = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
POOLS = sa.table("messaging_pools", sa.column("name"), sa.column("pool_group"), sa.column("flavor"))
FLAVORS = sa.table("messaging_flavors", sa.column("name"), sa.column("pool_group"))
GROUPS = sa.table("messaging_pool_groups", sa.column("name"))


def upgrade() -> None:
    _refuse_unconverted()
    with op.batch_alter_table("messaging_pools") as pools:
        pools.drop_column("pool_group")
    with op.batch_alter_table("messaging_flavors") as flavors:
        flavors.drop_column("pool_group")
    op.drop_table("messaging_pool_groups")


def downgrade() -> None:
    """The groups that were are forgotten: each flavor gets one of its name."""
    op.create_table(
        "messaging_pool_groups",
        sa.Column("name", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_messaging_pool_groups"),
        **TABLE,
    )
    with op.batch_alter_table("messaging_flavors") as flavors:
        flavors.add_column(sa.Column("pool_group", sa.String(64)))
    with op.batch_alter_table("messaging_pools") as pools:
        pools.add_column(sa.Column("pool_group", sa.String(64)))
    op.execute(GROUPS.insert().from_select(["name"], sa.select(FLAVORS.c.name)))
    op.execute(FLAVORS.update().values(pool_group=FLAVORS.c.name))
    op.execute(POOLS.update().where(POOLS.c.flavor.in_(sa.select(FLAVORS.c.name))).values(pool_group=POOLS.c.flavor))


def _refuse_unconverted() -> None:
    named = sa.select(FLAVORS.c.pool_group).where(FLAVORS.c.pool_group.is_not(None))
    unconverted = op.get_bind().scalars(
        sa.select(POOLS.c.name).where(POOLS.c.flavor.is_(None), POOLS.c.pool_group.in_(named)).order_by(POOLS.c.name)
    )
    if names := unconverted.all():
        raise RuntimeError(f"Pools that have a group but no flavor have to be given theirs first: {', '.join(names)}.")
