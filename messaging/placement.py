"""Which pool a queue gets: one of its flavor, by weight.

A queue without flavor goes to pools without flavor only.  (Zaqar's SQL and Redis stores take any pool then, so that a plain queue may land on
hardware that was set aside for a flavor.)
"""

import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from messaging.errors import NoPool, UnknownFlavor
from models.messaging import MessagingFlavorRow, PoolRow

_random = secrets.SystemRandom()


def choose_pool(s: Session, flavor: str | None) -> str:
    """Raises UnknownFlavor, NoPool."""
    _check_flavor(s, flavor)
    usable = select(PoolRow.name, PoolRow.weight).where(PoolRow.flavor == flavor, PoolRow.weight > 0).order_by(PoolRow.name)
    # Nobody can remove or change them before the queue's row, which is to follow, has been committed.
    pools = s.execute(usable.with_for_update(read=True)).all()
    if not pools:
        raise NoPool(f"No pool of flavor {flavor} takes queues." if flavor else "No pool without flavor takes queues.")
    return str(_random.choices([pool.name for pool in pools], [pool.weight for pool in pools])[0])


def fits(s: Session, pool: str, flavor: str | None) -> bool:
    """Whether a queue of the flavor may stay where it is.  Raises UnknownFlavor."""
    _check_flavor(s, flavor)
    return s.scalar(select(PoolRow.name).where(PoolRow.name == pool, PoolRow.flavor == flavor)) is not None


def _check_flavor(s: Session, flavor: str | None) -> None:
    if flavor is not None and s.get(MessagingFlavorRow, flavor) is None:
        raise UnknownFlavor(f"Flavor {flavor} does not exist.")
