"""/v1.0/{project_id}/instances"""

from typing import Any

from flask.typing import ResponseReturnValue
from flask.views import MethodView

from api import instances, lifecycle, paging, reach, reset, views
from api.context import context, services
from api.errors import NotSupported
from api.replies import empty, reply
from api.routes import Routes, policy, require
from api.schemas.instances import (
    ActionBody,
    ChangeBody,
    CreateBody,
    InstanceBody,
    InstanceDetailPage,
    InstancePage,
    InstanceQuery,
)
from models import Instance

routes = Routes("instances", "Database instances: a server, a volume and an engine each.")


@routes.route("/instances")
class Instances(MethodView):
    @policy("instance:index")
    @routes.query(InstanceQuery)
    @routes.answers(200, InstancePage, 400)
    def get(self, query: dict[str, Any], project_id: str) -> ResponseReturnValue:
        """List instances, newest first"""
        return _page(query, views.instance_in_list)

    @policy("instance:create")
    @routes.body(CreateBody)
    @routes.answers(200, InstanceBody, 400, 413, 415, 422)
    def post(self, body: dict[str, Any], project_id: str) -> ResponseReturnValue:
        """Create an instance

        Answers at once with status BUILD; the instance can be used when it is ACTIVE.
        """
        new = body["instance"]
        if new["databases"]:
            require("instance:extension:database:create")
        if new["users"]:
            require("instance:extension:user:create")
        if new["root_enabled"] or new.get("root_password"):
            require("instance:extension:root:create")
        row, password = lifecycle.create(context(), new)
        view = views.instance_detail(row, instances.viewer(context()))
        if password is not None:
            view["password"] = password
        return reply({"instance": view})


@routes.route("/instances/detail")
class InstancesDetail(MethodView):
    @policy("instance:detail")
    @routes.query(InstanceQuery)
    @routes.answers(200, InstanceDetailPage, 400)
    def get(self, query: dict[str, Any], project_id: str) -> ResponseReturnValue:
        """List instances with details, newest first"""
        return _page(query, views.instance_detail)


@routes.route("/instances/<string:instance_id>")
class OneInstance(MethodView):
    @policy("instance:show")
    @routes.answers(200, InstanceBody)
    def get(self, project_id: str, instance_id: str) -> ResponseReturnValue:
        """Show an instance"""
        with services().database.read() as s:
            row = instances.find_row(s, context(), instance_id)
        return reply({"instance": views.instance_detail(row, instances.viewer(context()))})

    @policy("instance:update")
    @routes.body(ChangeBody)
    @routes.answers(202, None, 400, 415, 422)
    def put(self, body: dict[str, Any], project_id: str, instance_id: str) -> ResponseReturnValue:
        """Rename an instance, or change who reaches it"""
        return _change(instance_id, body["instance"])

    @policy("instance:update")
    @routes.body(ChangeBody)
    @routes.answers(202, None, 400, 415, 422)
    def patch(self, body: dict[str, Any], project_id: str, instance_id: str) -> ResponseReturnValue:
        """Rename an instance, or change who reaches it"""
        return _change(instance_id, body["instance"])

    @policy("instance:delete")
    @routes.answers(202, None)
    def delete(self, project_id: str, instance_id: str) -> ResponseReturnValue:
        """Delete an instance, whatever it is doing"""
        lifecycle.delete(context(), instance_id)
        return empty(202)


@routes.route("/instances/<string:instance_id>/action")
class InstanceAction(MethodView):
    @policy(
        "instance:restart",
        "instance:upgrade_agent",
        "instance:check_objects",
        "instance:reset_status",
        "instance:force_delete",
        "instance:resize_flavor",
        "instance:resize_volume",
        "instance:promote_to_replica_source",
        "instance:eject_replica_source",
    )
    @routes.body(ActionBody)
    @routes.answers(202, None, 400, 415, 422, 501)
    def post(self, body: dict[str, Any], project_id: str, instance_id: str) -> ResponseReturnValue:
        """Restart the engine, or reset the status"""
        [(action, argument)] = body.items()
        require(_rule(action, argument))
        match action:
            case "restart":
                lifecycle.restart(context(), instance_id)
            case "upgrade_agent":
                lifecycle.upgrade_agent(context(), instance_id)
            case "check_objects":
                lifecycle.check_objects(context(), instance_id)
            case "reset_status":
                reset.reset_status(context(), instance_id)
            case _:
                with services().database.read() as s:
                    instances.find(s, context(), instance_id)
                raise NotSupported(f"The action '{action}' is not supported yet.")
        return empty(202)


def _change(instance_id: str, change: dict[str, Any]) -> ResponseReturnValue:
    if "access" in change:
        reach.change(context(), instance_id, change["access"])
    else:
        lifecycle.rename(context(), instance_id, change["name"])
    return empty(202)


def _rule(action: str, argument: object) -> str:
    fields = argument if isinstance(argument, dict) else {}
    if action == "reset_status" and "force_delete" in fields:
        return "instance:force_delete"
    if action == "resize":
        return "instance:resize_volume" if "volume" in fields else "instance:resize_flavor"
    return f"instance:{action}"


def _page(query: dict[str, Any], view: Any) -> ResponseReturnValue:
    who = context()
    mine = Instance.project_id == who.project_id
    statement = instances.ROWS.where(instances.visible(who.project_id))
    with services().database.read() as s:
        rows, more = paging.newest_first(s, statement, Instance, mine, query)
    viewer = instances.viewer(who)
    body = {"instances": [view(row, viewer) for row in rows]}
    return reply(paging.with_next(body, rows[-1][0].id if more else None, paging.page_limit(query)))
