"""/, /v1.0/, /healthcheck and /readyz: open to all."""

from flask import Blueprint
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.wrappers import Response

from api.context import base_url, services
from api.replies import reply

blueprint = Blueprint("versions", __name__)


def _version() -> dict[str, object]:
    return {
        "id": "v1.0",
        "status": "CURRENT",
        "updated": "2012-08-01T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base_url()}/v1.0/"}],
    }


@blueprint.get("/")
def versions() -> ResponseReturnValue:
    return reply({"versions": [_version()]})


@blueprint.get("/v1.0")
@blueprint.get("/v1.0/")
def version() -> ResponseReturnValue:
    return reply({"version": _version()})


@blueprint.get("/healthcheck")
def alive() -> ResponseReturnValue:
    """The process answers; says nothing about what it needs."""
    return Response("OK", content_type="text/plain; charset=utf-8")


@blueprint.get("/readyz")
def ready() -> ResponseReturnValue:
    """Whether what the API needs is there.  Without Temporal requests are still taken; they begin when it is back."""
    found = {"sql": _sql(), "temporal": services().operations.reachable()}
    return reply({name: "ok" if there else "away" for name, there in found.items()}, 200 if all(found.values()) else 503)


def _sql() -> bool:
    try:
        with services().database.read() as s:
            s.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True
