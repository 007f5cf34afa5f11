"""Fields and bodies that many resources share.  No message of a field repeats its value: it may be a password."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

NOT_YET = "not supported yet"
MAX_PASSWORD = 512


class Text(fields.String):
    """Text that every database can hold: no NUL, no half of a surrogate pair."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        text = str(super()._deserialize(value, attr, data, **kwargs))
        if "\0" in text:
            raise ValidationError("Has a NUL character in it.")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValidationError("Is not valid Unicode.")
        return text


class Name(Text):
    """1 to 255 characters, something in it to tell it by."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        name = super()._deserialize(value, attr, data, **kwargs)
        if not 1 <= len(name) <= 255 or not any(c.isascii() and c.isalnum() for c in name):
            raise ValidationError("Must have 1 to 255 characters, among them a letter or a digit.")
        return name


class Password(Text):
    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> str:
        password = super()._deserialize(value, attr, data, **kwargs)
        if not 1 <= len(password) <= MAX_PASSWORD:
            raise ValidationError(f"Must have 1 to {MAX_PASSWORD} characters.")
        return password


class Whole(fields.Integer):
    """A whole number, or the text of one; never true or false."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> int:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValidationError("Must be a whole number.")
        try:
            number = super()._deserialize(value, attr, data, **kwargs)
        except OverflowError as e:
            raise ValidationError("Must be a whole number.") from e
        assert number is not None
        return number


class NotYet(fields.Raw):
    """A field of the API that Coffer can't honour yet: only values that ask for nothing pass."""

    def __init__(self, *harmless: Any, **kwargs: Any) -> None:
        description = f"Known, but {NOT_YET}; may be left out or empty."
        super().__init__(allow_none=True, load_only=True, metadata={"description": description}, **kwargs)
        self._harmless = (None, "", [], {}, *harmless)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> None:
        if isinstance(value, bool) or value not in self._harmless:
            raise ValidationError(f"Is {NOT_YET}; leave it out.")


class PageQuery(Schema):
    limit = Whole(validate=validate.Range(min=1, error="Must be at least 1."), metadata={"description": "At most so many items."})
    marker = Text(validate=validate.Length(1, 255), metadata={"description": "Id of the last item of the page before."})


class Fault(Schema):
    code = fields.Integer(required=True)
    message = fields.String(required=True)


FaultBody = Schema.from_dict(
    {
        name: fields.Nested(Fault)
        for name in (
            "badRequest",
            "unauthorized",
            "forbidden",
            "itemNotFound",
            "conflict",
            "overLimit",
            "badMediaType",
            "unprocessableEntity",
            "instanceFault",
            "notImplemented",
            "serviceUnavailable",
        )
    },
    name="FaultBody",
)
"""One of these, named after the status."""


class Link(Schema):
    href = fields.String(required=True)
    rel = fields.String(required=True)


class Named(Schema):
    name = Text(required=True, validate=validate.Length(1, 255))


class PageLinks(Schema):
    links = fields.List(fields.Nested(Link), metadata={"description": "The next page; absent on the last one."})
