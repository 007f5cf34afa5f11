"""Where an instance is to be and who reaches it: what the cloud can do, and what the tenant may use of it.

A tenant's network is looked at with the tenant's own token, during the request: the service user, who makes the port later, sees and may
use everybody's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import request
from oslo_config.cfg import ConfigOpts

from api import datastores
from api.context import Context, services
from api.errors import BadRequest, ServiceUnavailable
from clouds.ports import CloudError, Nic, Tenants
from workflows.contracts import UserNetwork, let_in

FINAL = 400
LOCAL = {
    "nics": "has no networks of tenants",
    "locality": "has one host",
    "availability_zone": "has no zones",
}


@dataclass(frozen=True)
class Placement:
    """`nic` and `access` as asked for and found good; None: nothing was."""

    nic: Nic | None = None
    access: dict[str, Any] | None = None
    locality: str = ""
    availability_zone: str = ""
    volume_type: str = ""

    def network(self, manager: str) -> UserNetwork | None:
        """With the engine's port.  Raises BadRequest for a datastore whose port nobody knows."""
        if self.nic is None or self.nic.network_id is None:
            return None
        port = datastores.traits(manager).port
        if not port:
            raise BadRequest(f"Nobody knows the port of the datastore {manager}, to let anybody in: leave `nics` out.")
        access = self.access or {}
        return UserNetwork(
            self.nic.network_id,
            port,
            let_in(access),
            self.nic.subnet_id or "",
            self.nic.ip_address or "",
            bool(access.get("is_public")),
        )


def tenants_of(conf: ConfigOpts) -> Tenants | None:
    """None where the API can't show anybody's token to the cloud."""
    if conf.cloud.driver != "openstack" or conf.auth.strategy != "keystone":
        return None
    from clouds.openstack import openstack_tenants, settings_of  # its library takes a second to load

    return openstack_tenants(settings_of(conf))


def placed(who: Context, new: Mapping[str, Any]) -> Placement:
    """Before anything is recorded: it may ask the cloud.  Raises BadRequest, or ServiceUnavailable while the cloud does not answer."""
    access = new.get("access")
    wanted = bool(access and (access["is_public"] or access["allowed_cidrs"]))
    nics = new.get("nics") or []
    _refuse_on_one_host(new, wanted)
    if wanted and not nics:
        raise BadRequest("`access` is about a network of yours: name it in `nics`.")
    nic = _checked(who, Nic(**nics[0]), public=bool(access and access["is_public"])) if nics else None
    given = {name: new.get(name) or "" for name in ("locality", "availability_zone")}
    return Placement(nic, access if wanted or nic else None, volume_type=new["volume"].get("type") or "", **given)


def _refuse_on_one_host(new: Mapping[str, Any], access: bool) -> None:
    if services().conf.cloud.driver != "local":
        return
    for name, why in LOCAL.items():
        if new.get(name):
            raise BadRequest(f"The cloud of this deployment {why}: leave `{name}` out.")
    if access:
        raise BadRequest("The cloud of this deployment has no networks of tenants: leave `access` out.")
    if new["volume"].get("type"):
        raise BadRequest("The cloud of this deployment has no volume types: leave `volume.type` out.")


def _checked(who: Context, wanted: Nic, *, public: bool) -> Nic:
    tenants = services().tenants
    if tenants is None:
        raise BadRequest(
            "This deployment does not know its users by Keystone's tokens, so it can't see their networks: leave `nics` out."
        )
    try:
        return tenants.nic(request.headers.get("X-Auth-Token", ""), who.project_id, wanted, public=public)
    except CloudError as error:
        if error.status == FINAL:
            raise BadRequest(str(error)) from error
        raise ServiceUnavailable("The cloud's networks can't be asked about `nics`. Try again later.") from error
