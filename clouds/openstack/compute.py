"""Servers in Nova.  Name = key; key, owner and address are metadata, the owner is a tag that lists can be filtered by.

Of two calls that make the same server at once only one gets the volume, which Nova reserves before it accepts a server.
"""

import re
from collections.abc import Set
from dataclasses import dataclass

from clouds.openstack.calls import Json, Services
from clouds.openstack.groups import NovaServerGroups
from clouds.openstack.looks import Looks
from clouds.openstack.networks import Ports
from clouds.openstack.settings import Settings
from clouds.openstack.userdata import user_data
from clouds.openstack.volumes import CinderVolumes
from clouds.ports import CloudError, Server, ServerStatus, WantServer

MARK = "coffer"
KEY = re.compile(r"[A-Za-z0-9._-]{1,255}")
LONGEST_TAG = 60
REMOVING = ("deleting", "soft-deleting")
STATUSES = {
    "BUILD": ServerStatus.BUILD,
    "REBUILD": ServerStatus.BUILD,
    "ACTIVE": ServerStatus.ACTIVE,
    "PASSWORD": ServerStatus.ACTIVE,
    "VERIFY_RESIZE": ServerStatus.ACTIVE,
    "MIGRATING": ServerStatus.ACTIVE,
    "RESIZE": ServerStatus.REBOOT,
    "REVERT_RESIZE": ServerStatus.REBOOT,
    "REBOOT": ServerStatus.REBOOT,
    "HARD_REBOOT": ServerStatus.REBOOT,
    "ERROR": ServerStatus.ERROR,
    "UNKNOWN": ServerStatus.ERROR,
}


@dataclass(frozen=True)
class _Parts:
    """What a server is put together from, as the services tell of it.  `root`: a volume, or None: the image on the host's disk."""

    port: Json
    user_port: Json | None
    volume: Json
    root: Json | None

    @property
    def networks(self) -> list[Json]:
        """The tenant's network first: the way out is there."""
        return [{"port": port["id"]} for port in (self.user_port, self.port) if port]


class NovaServers:
    def __init__(
        self, services: Services, settings: Settings, ports: Ports, volumes: CinderVolumes, groups: NovaServerGroups
    ) -> None:
        self._nova, self._settings = services.compute, settings
        self._ports, self._volumes, self._groups = ports, volumes, groups
        self._looks = Looks(self._look, settings.poll_interval)

    def create_server(self, want: WantServer) -> Server:
        if found := self._find(want.key):
            return _server(self._keep_one(found))
        body = self._described(want)
        try:
            made = self._nova.post("/servers", body)["server"]
        except CloudError as error:
            if error.status not in (400, 404, 409):
                raise
            # Somebody made it meanwhile; or is about to, and has the volume already.
            if not (found := self._find(want.key)):
                self._parts(want)
                raise CloudError(str(error), 400 if error.status == 404 else error.status) from error
            return _server(self._keep_one(found))
        address = body["server"]["metadata"]["coffer_address"]
        return Server(made["id"], want.key, want.owner, ServerStatus.BUILD, address, self._settings.channel_port)

    def show_server(self, key: str) -> Server | None:
        return self._looks.show(key)

    def servers_of(self, owner: str) -> list[Server]:
        return [_server(raw) for raw in self._list(tags=_tag(owner))]

    def servers(self) -> list[Server]:
        return [_server(raw) for raw in self._list(tags=MARK)]

    def reboot_server(self, key: str) -> None:
        found = [raw for raw in self._find(key) if not _goes_away(raw)]
        if not found:
            raise CloudError(f"There is no server {key}.", 404)
        server = min(found, key=_rank)
        match STATUSES.get(server["status"]):
            case ServerStatus.BUILD:
                raise CloudError(f"Server {key} is not complete yet.", 409)
            case ServerStatus.REBOOT:
                return
            case ServerStatus.ACTIVE:
                how = "SOFT"
            case _:
                how = "HARD"
        self._nova.post(f"/servers/{server['id']}/action", {"reboot": {"type": how}})

    def attach_volume(self, key: str, volume_key: str) -> None:
        found = [raw for raw in self._find(key) if not _goes_away(raw)]
        volume = self._volumes.chosen(volume_key)
        if not found or volume is None:
            missing = f"volume {volume_key}" if found else f"server {key}"
            raise CloudError(f"There is no {missing}.", 404)
        id = min(found, key=_rank)["id"]
        if any(attachment["server_id"] == id for attachment in volume["attachments"]):
            return
        if volume["status"] != "available":
            raise CloudError(f"Volume {volume_key} is {volume['status']}.", 409)
        try:
            self._nova.post(f"/servers/{id}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume["id"]}})
        except CloudError as error:
            # Its status may have changed since we looked: the next attempt finds it attached.
            raise CloudError(str(error), 409 if error.status == 400 else error.status, error.retry_after) from error

    def delete_server(self, key: str) -> None:
        for raw in self._find(key):
            self._nova.delete(f"/servers/{raw['id']}")

    def _described(self, want: WantServer) -> Json:
        parts = self._parts(want)
        address, channel_port = _address(parts.port), self._settings.channel_port
        root = _disk(0, "image", "local", want.image_id, last=True)
        if parts.root:
            root = _disk(0, "volume", "volume", parts.root["id"], last=False)
        server: Json = {
            "name": want.key,
            "flavorRef": want.flavor.id,
            "imageRef": "" if parts.root else want.image_id,
            "networks": parts.networks,
            "config_drive": True,
            "user_data": user_data(
                want.boot,
                address=address,
                channel_port=channel_port,
                volume_id=parts.volume["id"],
                engine_address=_address(parts.user_port) if parts.user_port else None,
            ),
            "metadata": {
                "coffer_key": want.key,
                "coffer_owner": want.owner,
                "coffer_name": want.name,
                "coffer_address": address,
                "coffer_channel_port": str(channel_port),
            },
            "tags": [MARK, _tag(want.owner)],
            "block_device_mapping_v2": [root, _disk(-1, "volume", "volume", parts.volume["id"], last=False)],
        }
        if self._settings.keypair:
            server["key_name"] = self._settings.keypair
        if zone := want.availability_zone or self._settings.availability_zone:
            server["availability_zone"] = zone
        hints = {"group": self._groups.group_id(want.group_key)} if want.group_key else {}
        return {"server": server, **({"os:scheduler_hints": hints} if hints else {})}

    def _parts(self, want: WantServer) -> _Parts:
        """Raises CloudError 400 when one is missing, 409 when one is not free."""
        return _Parts(
            port=self._port(want, want.port_key),
            user_port=self._port(want, want.user_port_key) if want.user_port_key else None,
            volume=self._volume(want, want.volume_key),
            root=self._volume(want, want.root_volume_key) if want.root_volume_key else None,
        )

    def _port(self, want: WantServer, key: str) -> Json:
        if not (found := self._ports.find(key)):
            raise CloudError(f"Server {want.key} needs the port {key}, which is not there.", 400)
        if found[0]["device_id"]:
            raise CloudError(f"Server {want.key}: port {key} is in use by {found[0]['device_id']}.", 409)
        return found[0]

    def _volume(self, want: WantServer, key: str) -> Json:
        if (volume := self._volumes.chosen(key)) is None:
            raise CloudError(f"Server {want.key} needs the volume {key}, which is not there.", 400)
        if volume["status"] != "available":
            raise CloudError(f"Server {want.key}: volume {key} is {volume['status']}.", 409)
        return volume

    def _keep_one(self, found: list[Json]) -> Json:
        if not found or all(_goes_away(raw) for raw in found):
            raise CloudError("The server is being removed.", 409)
        kept, *others = sorted(found, key=_rank)
        for other in others:
            self._nova.delete(f"/servers/{other['id']}")
        return kept

    def _find(self, key: str) -> list[Json]:
        if not KEY.fullmatch(key):
            raise CloudError(f"{key!r} cannot be the key of a server.", 400)
        # Nova takes the name for a regular expression of the database's kind.
        pattern = f"^{key.replace('.', '[.]')}$"
        return [raw for raw in self._list(name=pattern) if raw["name"] == key]

    def _look(self, keys: Set[str]) -> dict[str, Server]:
        """One key by its name, several by the tag that all of ours have."""
        raws = self._find(next(iter(keys))) if len(keys) == 1 else self._list(tags=MARK)
        # Of several with one name the one that is kept comes last, and stands.
        return {raw["name"]: _server(raw) for raw in sorted(raws, key=_rank, reverse=True)}

    def _list(self, **filters: str) -> list[Json]:
        return list(self._nova.pages("/servers/detail", "servers", **filters))


def _disk(index: int, source: str, destination: str, uuid: str, *, last: bool) -> Json:
    return {
        "boot_index": index,
        "source_type": source,
        "destination_type": destination,
        "uuid": uuid,
        "delete_on_termination": last,
    }


def _address(port: Json) -> str:
    return str(port["fixed_ips"][0]["ip_address"])


def _tag(owner: str) -> str:
    tag = f"{MARK}:{owner}"
    if len(tag) > LONGEST_TAG or "," in tag or "/" in tag:
        raise CloudError(f"{owner!r} cannot be the owner of a server.", 400)
    return tag


def _goes_away(raw: Json) -> bool:
    return raw["OS-EXT-STS:task_state"] in REMOVING or raw["status"] in ("DELETED", "SOFT_DELETED")


def _rank(raw: Json) -> tuple[bool, str, str]:
    """Who is kept of several: never one that goes away, the oldest."""
    return _goes_away(raw), raw["created"], raw["id"]


def _server(raw: Json) -> Server:
    known = raw["metadata"]
    status = ServerStatus.SHUTOFF if _goes_away(raw) else STATUSES.get(raw["status"], ServerStatus.SHUTOFF)
    return Server(
        id=raw["id"],
        key=raw["name"],
        owner=known.get("coffer_owner", ""),
        status=status,
        address=known.get("coffer_address", ""),
        ssh_port=int(known.get("coffer_channel_port", 22)),
        fault=str((raw.get("fault") or {}).get("message", "")) if status is ServerStatus.ERROR else "",
    )
