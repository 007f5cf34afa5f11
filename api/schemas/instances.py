"""Bodies of /instances."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validate

from api.schemas.common import Link, Name, NotYet, PageLinks, PageQuery, Password, Text, Whole
from api.schemas.extensions import NewDatabase, NewUser


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
    type = NotYet()


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

    access = NotYet({"is_public": False})
    availability_zone = NotYet()
    configuration = NotYet()
    configuration_id = NotYet()
    locality = NotYet()
    modules = NotYet()
    nics = NotYet()
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
    access = NotYet()
    configuration = NotYet()
    datastore_version = NotYet()
    replica_of = NotYet()
    slave_of = NotYet()

    @post_load
    def _something(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        if "name" not in loaded:
            raise ValidationError("Give the new `name`; nothing else can be changed yet.")
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
    tenant_id = fields.String(metadata={"description": "For administrators."})


class Instance(InstanceInList):
    created = fields.String(required=True)
    updated = fields.String(required=True)
    service_status_updated = fields.String(
        required=True, metadata={"description": "When the guest reported last; before its first report the same as `updated`."}
    )
    fault = fields.Nested(InstanceFault)
    password = fields.String(metadata={"description": "Root's password, in the answer to the create that asked for it."})
    server_id = fields.String(metadata={"description": "For administrators."})


class InstancePage(PageLinks):
    instances = fields.List(fields.Nested(InstanceInList), required=True)


class InstanceDetailPage(PageLinks):
    instances = fields.List(fields.Nested(Instance), required=True)


class InstanceBody(Schema):
    instance = fields.Nested(Instance, required=True)
