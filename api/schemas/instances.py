"""Bodies of /instances."""

import ipaddress
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validate

from api.schemas.common import Link, Name, NotYet, PageLinks, PageQuery, Password, Text, Whole
from api.schemas.extensions import NewDatabase, NewUser

LOCALITIES = ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity")
MAX_CIDRS = 50


class FlavorRef(fields.Raw):
    """An id, the URL of a flavor, or an object with an `id`; loads as the id."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        if isinstance(value, dict):
            value = value.get("id")
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        flavor_id = str(Text().deserialize(value)).rstrip("/").rpartition("/")[2]
        if not 1 <= len(flavor_id) <= 64:
            raise ValidationError("Must be the id of a flavor.")
        return flavor_id


class NewVolume(Schema):
    size = Whole(
        required=True,
        validate=validate.Range(min=1, error="Must be at least 1 (GiB)."),
        error_messages={"required": "Volume size was not specified."},
    )
    type = Text(
        allow_none=True,
        validate=validate.Length(max=255),
        metadata={"description": "Of the cloud's volume types; without: the default."},
    )


class IPv4(Text):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            return str(ipaddress.IPv4Address(super()._deserialize(value, attr, data, **kwargs)))
        except ipaddress.AddressValueError:
            raise ValidationError("Must be an IPv4 address.") from None


class Cidr(Text):
    """An IPv4 network, as its own name for itself: 10.0.0.0/8."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return str(ipaddress.IPv4Network(text, strict=False))
        except ValueError:
            raise ValidationError("Must be an IPv4 network such as 10.0.0.0/8.") from None


class NewNic(Schema):
    net_id = fields.UUID(data_key="net-id", metadata={"description": "Another name of `network_id`."})
    network_id = fields.UUID(metadata={"description": "A network of the project, or one that is shared."})
    subnet_id = fields.UUID(metadata={"description": "A subnet of it; the network may be left out then."})
    ip_address = IPv4(metadata={"description": "The database's address in the subnet."})

    @post_load
    def _place(self, loaded: dict[str, Any], **_: Any) -> dict[str, str]:
        names = {str(loaded[name]) for name in ("net_id", "network_id") if name in loaded}
        if len(names) > 1:
            raise ValidationError("Names two networks: `net-id` is another name of `network_id`.")
        if not names and "subnet_id" not in loaded:
            raise ValidationError("Name the network or a subnet of it: `network_id`, `subnet_id`.")
        if "ip_address" in loaded and "subnet_id" not in loaded:
            raise ValidationError("Name the subnet that the address is in: `subnet_id`.", "ip_address")
        place = {"network_id": names.pop() if names else None, "subnet_id": loaded.get("subnet_id")}
        place["ip_address"] = loaded.get("ip_address")
        return {name: str(value) for name, value in place.items() if value}


class Access(Schema):
    is_public = fields.Boolean(load_default=False, metadata={"description": "Whether it has a floating IP."})
    allowed_cidrs = fields.List(
        Cidr,
        load_default=list,
        validate=validate.Length(max=MAX_CIDRS),
        metadata={"description": "Who may connect, as IPv4 networks; empty: everybody who reaches it."},
    )

    @post_load
    def _each_once(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        if len(set(loaded["allowed_cidrs"])) < len(loaded["allowed_cidrs"]):
            raise ValidationError("Names a network twice.", "allowed_cidrs")
        return loaded


class DatastoreChoice(Schema):
    type = Text(validate=validate.Length(1, 255), metadata={"description": "Name or id of the datastore."})
    version = Text(validate=validate.Length(1, 255), metadata={"description": "Name or id of the version; empty: the default."})
    version_number = Text(validate=validate.Length(1, 255), metadata={"description": "Tells versions of one name apart."})


class NewInstance(Schema):
    name = Name(required=True)
    flavorRef = FlavorRef(metadata={"description": "Id or URL of the flavor."})
    flavor = FlavorRef(metadata={"description": "Another name of `flavorRef`."})
    volume = fields.Nested(NewVolume)
    datastore = fields.Nested(DatastoreChoice)
    databases = fields.List(fields.Nested(NewDatabase), load_default=list, validate=validate.Length(max=1000))
    users = fields.List(fields.Nested(NewUser), load_default=list, validate=validate.Length(max=1000))
    root_enabled = fields.Boolean(
        load_default=False, metadata={"description": "Enable root; its password is in the answer to this request only."}
    )
    root_password = Password(
        load_only=True, metadata={"description": "Enables root with this password instead of a generated one."}
    )
    region_name = Text(allow_none=True, metadata={"description": "Only this deployment's own region."})

    nics = fields.List(
        fields.Nested(NewNic),
        load_default=list,
        allow_none=True,
        validate=validate.Length(max=1, error="Has more than one network: a database is reached on one."),
    )
    access = fields.Nested(Access, allow_none=True)
    availability_zone = Text(
        allow_none=True, validate=validate.Length(max=255), metadata={"description": "Of the server and its volumes."}
    )
    locality = Text(
        allow_none=True,
        validate=validate.OneOf(["", *LOCALITIES]),
        metadata={"description": "Whether its servers share a host."},
    )
    configuration = NotYet()
    configuration_id = NotYet()
    modules = NotYet()
    replica_count = NotYet(1)
    replica_of = NotYet()
    restorePoint = NotYet()
    slave_of = NotYet()

    @post_load
    def _one_flavor(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        alias = loaded.pop("flavor", None)
        loaded.setdefault("flavorRef", alias)
        if loaded["flavorRef"] is None:
            raise ValidationError("Missing data for required field.", "flavorRef")
        if "volume" not in loaded:
            raise ValidationError("Volume size was not specified.", "volume")
        return loaded


class CreateBody(Schema):
    instance = fields.Nested(NewInstance, required=True)


class InstanceChange(Schema):
    name = Name()
    access = fields.Nested(Access, metadata={"description": "The whole of it: what is left out is as at a create."})
    configuration = NotYet()
    datastore_version = NotYet()
    replica_of = NotYet()
    slave_of = NotYet()

    @post_load
    def _something(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        if ("name" in loaded) == ("access" in loaded):
            raise ValidationError("Give the new `name` or the new `access`, one at a time; nothing else can be changed yet.")
        return loaded


class ChangeBody(Schema):
    instance = fields.Nested(InstanceChange, required=True)


class ActionBody(Schema):
    """Exactly one of these."""

    restart = fields.Dict(allow_none=True)
    upgrade_agent = fields.Dict(allow_none=True, metadata={"description": "For administrators: the database stays up meanwhile."})
    check_objects = fields.Dict(
        allow_none=True, metadata={"description": "For administrators: whether the server reaches the object store."}
    )
    reset_status = fields.Dict(allow_none=True, metadata={"description": "For administrators; for owners with `force_delete`."})
    resize = fields.Raw(allow_none=True)
    promote_to_replica_source = fields.Raw(allow_none=True)
    eject_replica_source = fields.Raw(allow_none=True)

    @pre_load
    def _one(self, data: Any, **_: Any) -> Any:
        if isinstance(data, dict) and len(data) != 1:
            raise ValidationError(f"Name exactly one action of: {', '.join(self.fields)}.")
        return data


class InstanceQuery(PageQuery):
    include_clustered = Text(metadata={"description": "Accepted and without effect: there are no clusters."})


class FlavorShown(Schema):
    id = fields.String(required=True)
    links = fields.List(fields.Nested(Link), required=True)


class DatastoreShown(Schema):
    type = fields.String(required=True)
    version = fields.String(required=True)
    version_number = fields.String()


class Volume(Schema):
    size = fields.Integer(required=True)
    used = fields.Float(metadata={"description": "GiB in use as the guest reported last; with details only."})


class Address(Schema):
    address = fields.String(required=True)
    type = fields.String(required=True)
    network = fields.String(allow_none=True)


class InstanceFault(Schema):
    message = fields.String(required=True)
    created = fields.String(required=True)
    details = fields.String(required=True, allow_none=True)


STATUS = validate.OneOf(["BUILD", "ACTIVE", "REBOOT", "SHUTDOWN", "ERROR"])
OPERATING = validate.OneOf(["", "HEALTHY", "BLOCKED", "SHUTDOWN", "UNKNOWN", "ERROR", "FAILED"])


class InstanceInList(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    status = fields.String(required=True, validate=STATUS)
    operating_status = fields.String(required=True, validate=OPERATING)
    links = fields.List(fields.Nested(Link), required=True)
    flavor = fields.Nested(FlavorShown, required=True)
    datastore = fields.Nested(DatastoreShown, required=True)
    region = fields.String(required=True)
    access = fields.Dict(required=True)
    volume = fields.Nested(Volume, required=True)
    ip = fields.List(fields.String())
    addresses = fields.List(fields.Nested(Address))
    hostname = fields.String(metadata={"description": "Name in DNS that leads to it, where the operator gives names."})
    tenant_id = fields.String(metadata={"description": "For administrators."})


class Instance(InstanceInList):
    created = fields.String(required=True)
    updated = fields.String(required=True)
    service_status_updated = fields.String(
        required=True, metadata={"description": "When the guest reported last; before its first report the same as `updated`."}
    )
    engine_deaths = fields.Integer(
        metadata={"description": "How often the engine has died unasked, and was begun again by its guest; absent: never."}
    )
    engine_died = fields.String(metadata={"description": "When it was reported to have died last."})
    fault = fields.Nested(InstanceFault)
    locality = fields.String()
    password = fields.String(metadata={"description": "Root's password, in the answer to the create that asked for it."})
    server_id = fields.String(metadata={"description": "For administrators."})


class InstancePage(PageLinks):
    instances = fields.List(fields.Nested(InstanceInList), required=True)


class InstanceDetailPage(PageLinks):
    instances = fields.List(fields.Nested(Instance), required=True)


class InstanceBody(Schema):
    instance = fields.Nested(Instance, required=True)
