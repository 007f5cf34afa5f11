"""All messages of a project in one pool, for whoever collects them in bulk (the drain of what guests tell)."""

from collections.abc import Sequence

from messaging.drivers.base import Gathered
from messaging.stores import Stores

__all__ = ["Collector", "Gathered"]


class Collector:
    """A collector works on a pool at a time, since that is where one call reaches many queues.  What it has dealt with it discards; what
    it has not, because it died or the queue moved meanwhile, it is given again, there or at the queue's new place."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def gather(self, pool: str, project: str, limit: int) -> Sequence[Gathered]:
        """Up to `limit` free messages of all queues of the project in this pool, in order within each queue, fair between queues.
        Fewer than `limit` does not mean that there are no more; none at all does, but for the case that more than `limit` queues hold
        claimed and delayed messages only.  Raises NoPool, StoreUnavailable (503)."""
        return self._stores.current(pool).gather(project, limit)

    def discard(self, pool: str, project: str, gathered: Sequence[Gathered]) -> int:
        """Remove these messages; those that are gone, or whose queue has moved or been made anew, are left out.  Tells how many.
        Raises NoPool, StoreUnavailable (503)."""
        return self._stores.current(pool).discard(project, gathered)
