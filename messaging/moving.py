"""Carrying a queue from one store to another.  Every step can be repeated, also by several at the same time."""

from messaging.drivers.base import Fenced, QueueKey, Store

BATCH = 500


def carry_over(source: Store, key: QueueKey, target: Store, new: QueueKey) -> None:
    """Afterwards the queue is open at the target with all its messages and claims, and gone at the source.

    Raises drivers.base.Fenced when somebody else did it at the same time and was faster."""
    try:
        last = source.seal_queue(key)
    except Fenced:
        # Dropped here, so complete there: somebody ended between that and noting it.
        if target.begin_import(new, 0):
            target.finish_import(new)
        return
    if target.begin_import(new, last):
        after = 0
        while records := source.export(key, after, BATCH):
            target.import_records(new, records)
            after = records[-1].seq
        target.finish_import(new)
    source.drop_queue(key)
