"""Bodies of datastores, flavors, limits and quotas."""

from marshmallow import Schema, fields, validate

from api.schemas.common import Link, Text, Whole

LARGEST = 2**31 - 1


class Flavor(Schema):
    id = fields.Integer(required=True, allow_none=True, metadata={"description": "null where the id is no number: see `str_id`."})
    str_id = fields.String(required=True)
    name = fields.String(required=True)
    ram = fields.Integer(required=True, metadata={"description": "MiB"})
    vcpus = fields.Integer(required=True)
    disk = fields.Integer(required=True, metadata={"description": "GiB"})
    ephemeral = fields.Integer(required=True)
    links = fields.List(fields.Nested(Link), required=True)


class FlavorList(Schema):
    flavors = fields.List(fields.Nested(Flavor), required=True)


class FlavorBody(Schema):
    flavor = fields.Nested(Flavor, required=True)


class VersionOfDatastore(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    version = fields.String(required=True)
    links = fields.List(fields.Nested(Link), required=True)
    active = fields.Boolean(metadata={"description": "For administrators, as are those below."})
    packages = fields.List(fields.String())
    image = fields.String()
    image_tags = fields.List(fields.String())


class Version(VersionOfDatastore):
    datastore = fields.String(required=True, metadata={"description": "Id of its datastore."})


class VersionList(Schema):
    versions = fields.List(fields.Nested(Version), required=True)


class VersionBody(Schema):
    version = fields.Nested(Version, required=True)


class Datastore(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    links = fields.List(fields.Nested(Link), required=True)
    versions = fields.List(fields.Nested(VersionOfDatastore), required=True)
    default_version = fields.String()


class DatastoreList(Schema):
    datastores = fields.List(fields.Nested(Datastore), required=True)


class DatastoreBody(Schema):
    datastore = fields.Nested(Datastore, required=True)


class Limit(Schema):
    verb = fields.String(required=True)
    max_instances = fields.Integer(required=True)
    max_volumes = fields.Integer(required=True, metadata={"description": "GiB"})
    max_ram = fields.Integer(required=True, metadata={"description": "MiB"})


class LimitList(Schema):
    limits = fields.List(fields.Nested(Limit), required=True)


class Quota(Schema):
    resource = fields.String(required=True)
    in_use = fields.Integer(required=True)
    reserved = fields.Integer(required=True)
    limit = fields.Integer(required=True)


class QuotaList(Schema):
    quotas = fields.List(fields.Nested(Quota), required=True)


class QuotaChangeBody(Schema):
    quotas = fields.Dict(
        keys=Text(validate=validate.Length(1, 32)),
        values=Whole(allow_none=True, validate=validate.Range(-1, LARGEST, error="Must be -1 (no limit) or more.")),
        required=True,
    )


class QuotaChanged(Schema):
    quotas = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
