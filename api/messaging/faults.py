"""Refusals of messaging that need words of their own."""

from api.errors import BadRequest


class InvalidBody(BadRequest):
    title = "Invalid request body"
