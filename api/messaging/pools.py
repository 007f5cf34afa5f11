"""/v2/pools and /v2/flavors: where queues are stored."""

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from api.errors import BadRequest, NotFound
from api.messaging import reading, views
from api.messaging.faults import InvalidBody
from api.messaging.parts import messaging, parts
from api.replies import empty, reply
from api.routes import policy

NO_GROUPS = "There are no pool groups any more: name the flavor in the pool's 'flavor', or the pools in the flavor's 'pool_list'."
FIELDS = ("uri", "weight", "flavor", "options")

pools = Blueprint("pools", __name__, url_prefix="/pools")
flavors = Blueprint("flavors", __name__, url_prefix="/flavors")


@pools.before_request
@flavors.before_request
def check_managed() -> None:
    """[messaging] management = false keeps both out of what this API serves."""
    if not parts().options.management:
        raise NotFound("Pools and flavors are not managed here.")


@pools.get("")
@policy("pools:get_all")
def list_pools() -> ResponseReturnValue:
    limit, detailed = reading.page_limit(), reading.yes("detailed")
    page = messaging().pools.list(reading.marker(), limit)
    links = views.next_link("/v2/pools", page.marker, limit, detailed=detailed)
    answer = reply({"pools": [views.pool(row, detailed) for row in page.items], "links": links})
    answer.headers["Content-Location"] = "/v2/pools"
    return answer


@pools.put("/<name>")
@policy("pools:create")
def put_pool(name: str) -> ResponseReturnValue:
    messaging().pools.put(name, _fields(("uri", "weight"), ("flavor", "options")))
    return _made(views.pool_path(name))


@pools.get("/<name>")
@policy("pools:get")
def show_pool(name: str) -> ResponseReturnValue:
    return reply(views.pool(messaging().pools.get(name), reading.yes("detailed")))


@pools.patch("/<name>")
@policy("pools:update")
def update_pool(name: str) -> ResponseReturnValue:
    return reply(views.pool(messaging().pools.patch(name, _fields((), FIELDS))))


@pools.delete("/<name>")
@policy("pools:delete")
def delete_pool(name: str) -> ResponseReturnValue:
    messaging().pools.delete(name)
    return empty(204)


@flavors.get("")
@policy("flavors:get_all")
def list_flavors() -> ResponseReturnValue:
    limit, detailed = reading.page_limit(), reading.yes("detailed")
    page = messaging().flavors.list(reading.marker(), limit)
    links = views.next_link("/v2/flavors", page.marker, limit, detailed=detailed)
    return reply({"flavors": [views.flavor_in_list(row, detailed) for row in page.items], "links": links})


@flavors.put("/<name>")
@policy("flavors:create")
def put_flavor(name: str) -> ResponseReturnValue:
    messaging().flavors.put(name, _pool_list())
    return _made(views.flavor_path(name))


@flavors.get("/<name>")
@policy("flavors:get")
def show_flavor(name: str) -> ResponseReturnValue:
    return reply(views.flavor(messaging().flavors.get(name)))


@flavors.patch("/<name>")
@policy("flavors:update")
def update_flavor(name: str) -> ResponseReturnValue:
    return reply(views.flavor(messaging().flavors.patch(name, _pool_list())))


@flavors.delete("/<name>")
@policy("flavors:delete")
def delete_flavor(name: str) -> ResponseReturnValue:
    messaging().flavors.delete(name)
    return empty(204)


def _pool_list() -> Any:
    """`capabilities` may be sent, and says nothing: they are what the pools give."""
    given = _fields(("pool_list",), ("capabilities",))
    if not isinstance(given.get("capabilities", {}), dict):
        raise InvalidBody("capabilities must be an object.")
    return given["pool_list"]


def _fields(required: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Any]:
    given = reading.fields(required=(), optional=(*required, *optional, "group", "pool_group", "pool"))
    if not {"group", "pool_group", "pool"}.isdisjoint(given):
        raise BadRequest(NO_GROUPS)
    if any(isinstance(value, str) and "\0" in value for value in given.values()):
        raise InvalidBody("No text may have a NUL character in it.")
    for name in required:
        if name not in given:
            raise InvalidBody(f"The body must have '{name}'.")
    return given


def _made(path: str) -> ResponseReturnValue:
    answer = empty(201)
    answer.headers["Location"] = path
    return answer
