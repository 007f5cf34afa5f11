"""Server groups in Nova, which know no tags: the name is key and owner.

Nova has nothing that is unique here either: every create looks again, and all agree on the one that stays.
"""

from collections.abc import Iterator

from clouds.openstack.calls import Json, Services
from clouds.ports import CloudError, ServerGroup

PATH = "/os-server-groups"
PAGE = 500
BETWEEN = " of "
"""Key and owner have no spaces."""


class NovaServerGroups:
    def __init__(self, services: Services) -> None:
        self._nova = services.compute

    def create_server_group(self, key: str, owner: str, policy: str) -> ServerGroup:
        found = self._find(key)
        if not found:
            self._nova.post(PATH, {"server_group": {"name": f"{key}{BETWEEN}{owner}", "policies": [policy]}})
            found = self._find(key)
        if not found:
            raise CloudError(f"Server group {key} is gone as soon as it was made.", 409)
        kept, *others = sorted(found, key=lambda group: group.id)
        for other in others:
            self._nova.delete(f"{PATH}/{other.id}")
        return kept

    def server_groups_of(self, owner: str) -> list[ServerGroup]:
        return [group for group in self._all() if group.owner == owner]

    def all_server_groups(self) -> list[ServerGroup]:
        return list(self._all())

    def delete_server_group(self, key: str) -> None:
        for group in self._find(key):
            self._nova.delete(f"{PATH}/{group.id}")

    def group_id(self, key: str) -> str:
        """Raises CloudError 400: a server needs it, and it is not there."""
        if not (found := self._find(key)):
            raise CloudError(f"There is no server group {key}.", 400)
        return min(group.id for group in found)

    def _find(self, key: str) -> list[ServerGroup]:
        return [group for group in self._all() if group.key == key]

    def _all(self) -> Iterator[ServerGroup]:
        offset = 0
        while page := self._nova.get(PATH, limit=PAGE, offset=offset)["server_groups"]:
            yield from (_group(raw) for raw in page if BETWEEN in raw["name"])
            offset += len(page)


def _group(raw: Json) -> ServerGroup:
    key, _, owner = raw["name"].partition(BETWEEN)
    return ServerGroup(raw["id"], key, owner, raw["policies"][0])
