"""Names of servers in a file of the form of hosts(5), `hosts` in the state directory: one host serves no DNS.

Whoever wants to use the names adds the file to his own, or has a resolver read it (dnsmasq: `addn-hosts`).  It is there while there are names.
"""

from clouds.local.state import Record as Row
from clouds.local.state import State, short_id, write_durably
from clouds.ports import CloudError, Record, RecordStatus, WantRecord

HOSTS = "hosts"


class LocalNames:
    def __init__(self, state: State) -> None:
        self._state = state

    def create_record(self, want: WantRecord) -> Record:
        id = short_id(want.key)
        row = {"id": id, "key": want.key, "owner": want.owner, "name": want.name, "address": want.address}
        with self._state.working_on(id), self._state.registry():
            namesakes = [one for one in self._state.names.all() if one["name"] == want.name and one["id"] != id]
            if any(one["owner"] != want.owner for one in namesakes):
                raise CloudError(f"The name {want.name} is somebody else's.", 400)
            self._state.names.write(row)
            for one in namesakes:
                self._state.names.remove(one["id"])
            self._write_hosts()
        return _record(row)

    def show_record(self, key: str) -> Record | None:
        row = self._state.names.read(short_id(key))
        return _record(row) if row else None

    def records_of(self, owner: str) -> list[Record]:
        return [record for record in self.records() if record.owner == owner]

    def records(self) -> list[Record]:
        return [_record(row) for row in self._state.names.all()]

    def delete_record(self, key: str) -> None:
        """The record last: as long as it is there, whoever was killed on the way is followed by somebody who writes the file."""
        id = short_id(key)
        with self._state.working_on(id), self._state.registry():
            self._write_hosts(without=id)
            self._state.names.remove(id)

    def _write_hosts(self, without: str = "") -> None:
        path = self._state.directory / HOSTS
        lines = [f"{row['address']} {row['name']}\n" for row in self._state.names.all() if row["id"] != without]
        if lines:
            write_durably(path, "".join(lines))
        else:
            path.with_name(f"{HOSTS}.new").unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def _record(row: Row) -> Record:
    return Record(row["id"], row["key"], row["owner"], row["name"], row["address"], RecordStatus.ACTIVE)
