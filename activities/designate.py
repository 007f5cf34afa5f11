"""DNS records that lead to instances.  They are removed before the address that they lead to can be anybody else's."""

from temporalio import activity

from activities.errors import RECORD_FAILED, final
from activities.waiting import cloud_calls, until
from clouds.ports import Names, Record, RecordStatus, WantRecord
from workflows.contracts import Operation, WantName

SERVED_WITHIN = 1.0
"""Seconds that the servers of a zone take for a change at least: to look more often only costs calls."""


class DesignateActivities:
    def __init__(self, names: Names) -> None:
        self._names = names

    @activity.defn(name="designate.set_record", no_thread_cancel_exception=True)
    def set_record(self, want: WantName) -> None:
        """Find or create, leading to that address, then see that whoever asks is told so."""
        with cloud_calls():
            record = self._names.create_record(WantRecord(want.key, want.op.instance_id, want.name, want.address))
            if record.status is RecordStatus.PENDING:
                record = until(lambda: self._settled(want.key), first=SERVED_WITHIN)
        if record.status is RecordStatus.ERROR:
            raise final(RECORD_FAILED, f"The name {want.name} could not be made known: the zone's servers did not take it.")

    @activity.defn(name="designate.delete_record", no_thread_cancel_exception=True)
    def delete_record(self, want: WantName) -> None:
        with cloud_calls():
            self._remove(want.key)

    @activity.defn(name="designate.delete_records_of", no_thread_cancel_exception=True)
    def delete_records_of(self, op: Operation) -> None:
        with cloud_calls():
            for record in self._names.records_of(op.instance_id):
                self._remove(record.key)

    def _remove(self, key: str) -> None:
        self._names.delete_record(key)
        until(lambda: True if self._names.show_record(key) is None else None)

    def _settled(self, key: str) -> Record | None:
        record = self._names.show_record(key)
        return record if record and record.status is not RecordStatus.PENDING else None
