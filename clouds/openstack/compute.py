"""Servers in Nova.  Name = key; key, owner and address are metadata, the owner is a tag that lists can be filtered by.

Of two calls that make the same server at once only one gets the volume, which Nova reserves before it accepts a server.
"""

import re
from collections.abc import Set

from clouds.openstack.calls import Json, Services
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


class NovaServers:
    def __init__(self, services: Services, settings: Settings, ports: Ports, volumes: CinderVolumes) -> None:
        self._nova, self._settings = services.compute, settings
        self._ports, self._volumes = ports, volumes
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
                self._port_and_volume(want)
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
        port, volume = self._port_and_volume(want)
        address = port["fixed_ips"][0]["ip_address"]
        channel_port = self._settings.channel_port
        server: Json = {
            "name": want.key,
            "flavorRef": want.flavor.id,
            "imageRef": want.image_id,
            "networks": [{"port": port["id"]}],
            "config_drive": True,
            "user_data": user_data(want.boot, address=address, channel_port=channel_port, volume_id=volume["id"]),
            "metadata": {
                "coffer_key": want.key,
                "coffer_owner": want.owner,
                "coffer_name": want.name,
                "coffer_address": address,
                "coffer_channel_port": str(channel_port),
            },
            "tags": [MARK, _tag(want.owner)],
            "block_device_mapping_v2": [
                _disk(0, "image", "local", want.image_id, last=True),
                _disk(-1, "volume", "volume", volume["id"], last=False),
            ],
        }
        if self._settings.keypair:
            server["key_name"] = self._settings.keypair
        if self._settings.availability_zone:
            server["availability_zone"] = self._settings.availability_zone
        return {"server": server}

    def _port_and_volume(self, want: WantServer) -> tuple[Json, Json]:
        """Raises CloudError 400 when one is missing, 409 when one is not free."""
        ports, volume = self._ports.find(want.port_key), self._volumes.chosen(want.volume_key)
        if not ports or volume is None:
            missing = f"volume {want.volume_key}" if ports else f"port {want.port_key}"
            raise CloudError(f"Server {want.key} needs the {missing}, which is not there.", 400)
        if ports[0]["device_id"]:
            raise CloudError(f"Server {want.key}: port {want.port_key} is in use by {ports[0]['device_id']}.", 409)
        if volume["status"] != "available":
            raise CloudError(f"Server {want.key}: volume {want.volume_key} is {volume['status']}.", 409)
        return ports[0], volume

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
