"""Names of instances: record sets in Designate, in zones of the service user's project or shared with it.

Description = owner and key.  Designate has a name of one type once in a zone: of two calls that make the same record at once, one is
refused and finds the other's.  Where the catalog has no Designate there is nothing, and nothing can be made.
"""

import ipaddress
from collections.abc import Iterator, Set

from clouds.openstack.calls import Json, Refused, Services
from clouds.openstack.looks import Looks
from clouds.openstack.marks import OWNED, final
from clouds.openstack.settings import Settings
from clouds.ports import CloudError, Record, RecordStatus, WantRecord

DESIGNATE = "dns"
SETS = "/recordsets"
BETWEEN = ": "
"""Of owner and key, which have no spaces."""
TYPES = {4: "A", 6: "AAAA"}
GOING = "DELETE"


class DesignateNames:
    def __init__(self, services: Services, settings: Settings) -> None:
        self._services, self._designate, self._ttl = services, services.names, settings.record_ttl
        self._looks = Looks(self._seen, settings.poll_interval)

    def create_record(self, want: WantRecord) -> Record:
        if not self._services.has(DESIGNATE):
            raise CloudError("Designate, which names are kept in, is not in the catalog.", 400)
        path = f"/zones/{self._zone_id(want.name.partition('.')[2])}{SETS}"
        described = {"description": f"{OWNED}{want.owner}{BETWEEN}{want.key}", "ttl": self._ttl, "records": [want.address]}
        kind = _type(want.address)
        try:
            there = self._cleared(path, want, kind)
            if there is None:
                return _record(self._designate.post(path, {"name": f"{want.name}.", "type": kind, **described}))
            if described.items() <= there.items():
                return _record(there)
            return _record(self._designate.put(f"{path}/{there['id']}", described))
        except Refused as error:
            if error.status == 409 and (found := self._find(want.key)):
                return _record(found[0])
            raise final(error) from error

    def show_record(self, key: str) -> Record | None:
        return self._looks.show(key)

    def records_of(self, owner: str) -> list[Record]:
        return [_record(raw) for raw in self._list(f"{OWNED}{owner}{BETWEEN}*")]

    def records(self) -> list[Record]:
        return [_record(raw) for raw in self._list(f"{OWNED}*")]

    def delete_record(self, key: str) -> None:
        for raw in self._find(key):
            if raw["action"] != GOING or raw["status"] == RecordStatus.ERROR:
                self._designate.delete(f"/zones/{raw['zone_id']}{SETS}/{raw['id']}")

    def _cleared(self, path: str, want: WantRecord, kind: str) -> Json | None:
        """What there is by that name and of that type.  Ours of another type go: an address of IPv4 has become one of IPv6."""
        found = [raw for raw in self._designate.get(path, name=f"{want.name}.")["recordsets"] if raw["type"] in TYPES.values()]
        if any(_owner_and_key(raw)[0] != want.owner for raw in found):
            raise CloudError(f"Designate: the name {want.name} is taken by a record that Coffer has not made for it.", 400)
        if any(raw["action"] == GOING for raw in found):
            raise CloudError(f"Designate: the name {want.name} is still being removed.", 409)
        for raw in found:
            if raw["type"] != kind:
                self._designate.delete(f"{path}/{raw['id']}")
        return next((raw for raw in found if raw["type"] == kind), None)

    def _zone_id(self, name: str) -> str:
        zone = zone_of(self._services, name)
        if zone is None:
            raise CloudError(f"Designate has no zone {name} that this deployment may give names in.", 400)
        return str(zone["id"])

    def _seen(self, keys: Set[str]) -> dict[str, Record]:
        """Of one key, or of all there are: one request either way."""
        found = self._find(*keys) if len(keys) == 1 else self._list(f"{OWNED}*")
        return {record.key: record for record in (_record(raw) for raw in found)}

    def _find(self, key: str) -> list[Json]:
        return list(self._list(f"{OWNED}*{BETWEEN}{key}"))

    def _list(self, description: str) -> Iterator[Json]:
        """Across all zones; what others have described alike is not ours without a key."""
        if self._services.has(DESIGNATE):
            for raw in self._designate.pages(SETS, "recordsets", description=description, limit="max"):
                if all(_owner_and_key(raw)) and raw["type"] in TYPES.values():
                    yield raw


def zone_of(services: Services, name: str) -> Json | None:
    """`name` without a dot at its end."""
    return next(iter(services.names.get("/zones", name=f"{name}.")["zones"]), None)


def _type(address: str) -> str:
    try:
        return TYPES[ipaddress.ip_address(address).version]
    except ValueError:
        raise CloudError(f"{address!r} is no IP address that a name could lead to.", 400) from None


def _owner_and_key(raw: Json) -> tuple[str, str]:
    said = raw["description"] or ""
    owner, _, key = said.removeprefix(OWNED).partition(BETWEEN) if said.startswith(OWNED) else ("", "", "")
    return owner, key


def _record(raw: Json) -> Record:
    owner, key = _owner_and_key(raw)
    return Record(raw["id"], key, owner, raw["name"].rstrip("."), next(iter(raw["records"]), ""), RecordStatus(raw["status"]))
