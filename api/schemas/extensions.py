"""Databases, users, grants and root of an instance."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, pre_load, validate

from api.schemas.common import Named, PageLinks, Password, Text


class NewDatabase(Named):
    character_set = Text(allow_none=True, validate=validate.Length(1, 64))
    collate = Text(allow_none=True, validate=validate.Length(1, 64))


class NewUser(Named):
    password = Password(required=True, load_only=True)
    host = Text(
        allow_none=True, validate=validate.Length(1, 255), metadata={"description": "Where it may log in from; empty: `%`."}
    )
    databases = fields.List(fields.Nested(Named), allow_none=True, validate=validate.Length(max=1000))


class NewPassword(Named):
    password = Password(required=True, load_only=True)
    host = Text(allow_none=True, validate=validate.Length(1, 255))


def _some(nested: type[Schema]) -> fields.Field[Any]:
    return fields.List(
        fields.Nested(nested), required=True, validate=validate.Length(1, 1000, error="Must have 1 to 1000 items.")
    )


class DatabasesBody(Schema):
    databases = _some(NewDatabase)

    @pre_load
    def _one(self, data: Any, **_: Any) -> Any:
        """openstacksdk sends `{"database": {...}}`."""
        if isinstance(data, dict) and data.keys() == {"database"}:
            return {"databases": [data["database"]]}
        return data


class UsersBody(Schema):
    users = _some(NewUser)

    @pre_load
    def _one(self, data: Any, **_: Any) -> Any:
        """openstacksdk sends `{"users": {...}}`."""
        if isinstance(data, dict) and isinstance(data.get("users"), dict):
            return {**data, "users": [data["users"]]}
        return data


class PasswordsBody(Schema):
    users = _some(NewPassword)


class UserChange(Schema):
    name = Text(validate=validate.Length(1, 255))
    password = Password(load_only=True)
    host = Text(validate=validate.Length(1, 255))

    @post_load
    def _something(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        if not loaded:
            raise ValidationError("Give at least one of name, password, host.")
        return loaded


class UserChangeBody(Schema):
    user = fields.Nested(UserChange, required=True)


class GrantsBody(Schema):
    databases = _some(Named)


class RootBody(Schema):
    password = Password(load_only=True, metadata={"description": "Empty: one is generated."})


class Database(Schema):
    name = fields.String(required=True)


class DatabaseList(PageLinks):
    databases = fields.List(fields.Nested(Database), required=True)


class User(Schema):
    name = fields.String(required=True)
    host = fields.String(required=True)
    databases = fields.List(fields.Nested(Database), required=True)


class UserList(PageLinks):
    users = fields.List(fields.Nested(User), required=True)


class UserBody(Schema):
    user = fields.Nested(User, required=True)


class Login(Schema):
    name = fields.String(required=True)
    password = fields.String(required=True)


class RootAnswer(Schema):
    user = fields.Nested(Login, required=True)


class RootState(Schema):
    rootEnabled = fields.Boolean(required=True)
