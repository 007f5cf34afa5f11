"""A pool names its flavor itself: the group stays beside it until everything has been converted.

A pool gets the flavor whose pool_group is its group; one that has a flavor already keeps it.  A group that several flavors share fits no
pool's single flavor, so it is reported by name before anything is changed.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

POOLS = sa.table("messaging_pools", sa.column("name"), sa.column("pool_group"), sa.column("flavor"))
FLAVORS = sa.table("messaging_flavors", sa.column("name"), sa.column("pool_group"))
GROUPS = sa.table("messaging_pool_groups", sa.column("name"))


def upgrade() -> None:
    _refuse_shared_groups()
    with op.batch_alter_table("messaging_pools") as pools:
        pools.add_column(sa.Column("flavor", sa.String(255)))
        pools.create_index("ix_messaging_pools_flavor", ["flavor"])
    with op.batch_alter_table("messaging_flavors") as flavors:
        flavors.alter_column("pool_group", existing_type=sa.String(64), nullable=True)
    flavor = sa.select(FLAVORS.c.name).where(FLAVORS.c.pool_group == POOLS.c.pool_group).scalar_subquery()
    op.execute(POOLS.update().where(POOLS.c.flavor.is_(None), POOLS.c.pool_group.is_not(None)).values(flavor=flavor))


def downgrade() -> None:
    """A flavor made without group gets one of its own name; so do its pools."""
    connection = op.get_bind()
    taken = set(connection.scalars(sa.select(GROUPS.c.name)))
    for name in connection.scalars(sa.select(FLAVORS.c.name).where(FLAVORS.c.pool_group.is_(None))).all():
        group = name
        while group in taken:
            group = f"{group[:63]}_"
        taken.add(group)
        connection.execute(GROUPS.insert().values(name=group))
        connection.execute(FLAVORS.update().where(FLAVORS.c.name == name).values(pool_group=group))
    group_of = sa.select(FLAVORS.c.pool_group).where(FLAVORS.c.name == POOLS.c.flavor).scalar_subquery()
    op.execute(POOLS.update().where(POOLS.c.flavor.in_(sa.select(FLAVORS.c.name))).values(pool_group=group_of))
    op.execute(POOLS.update().where(POOLS.c.flavor.is_(None)).values(pool_group=None))
    with op.batch_alter_table("messaging_flavors") as flavors:
        flavors.alter_column("pool_group", existing_type=sa.String(64), nullable=False)
    with op.batch_alter_table("messaging_pools") as pools:
        pools.drop_index("ix_messaging_pools_flavor")
        pools.drop_column("flavor")


def _refuse_shared_groups() -> None:
    several = sa.select(FLAVORS.c.pool_group).group_by(FLAVORS.c.pool_group).having(sa.func.count() > 1)
    rows = op.get_bind().execute(
        sa.select(FLAVORS.c.pool_group, FLAVORS.c.name).where(FLAVORS.c.pool_group.in_(several)).order_by(FLAVORS.c.name)
    )
    shared: dict[str, list[str]] = {}
    for group, flavor in rows:
        shared.setdefault(group, []).append(flavor)
    if shared:
        told = "; ".join(f"{group}: {', '.join(flavors)}" for group, flavors in sorted(shared.items()))
        raise RuntimeError(f"Pool groups shared by several flavors have to be split first ({told}).")
