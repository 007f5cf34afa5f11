"""/v1.0/{project_id}/instances/{id}/databases and /root"""

from typing import Any

from flask.typing import ResponseReturnValue
from flask.views import MethodView

from api import datastores, guests, instances, lifecycle, paging
from api.context import context, services
from api.errors import NotFound, NotSupported, ServiceUnavailable, Unprocessable
from api.replies import empty, reply
from api.routes import Routes, policy
from api.schemas.common import PageQuery
from api.schemas.extensions import DatabaseList, DatabasesBody, RootAnswer, RootBody, RootState

routes = Routes("databases", "Databases inside an instance, and its root account.")

ONE = "/instances/<string:instance_id>"


def ready_manager(instance_id: str) -> str:
    """The instance's manager, once it is known that its engine can be asked."""
    with services().database.read() as s:
        return instances.find_ready(s, context(), instance_id)[1]


def with_databases(instance_id: str) -> str:
    manager = ready_manager(instance_id)
    if not datastores.traits(manager).has_databases:
        raise Unprocessable(f"The datastore {manager} has no databases.")
    return manager


@routes.route(f"{ONE}/databases")
class Databases(MethodView):
    @policy("instance:extension:database:index")
    @routes.query(PageQuery)
    @routes.answers(200, DatabaseList, 400, 422)
    def get(self, query: dict[str, Any], project_id: str, instance_id: str) -> ResponseReturnValue:
        """List databases, by name"""
        with_databases(instance_id)
        limit = paging.page_limit(query)
        found = guests.ask(context(), instance_id, "databases.list", limit=limit, marker=query.get("marker"))
        return reply(paging.with_next({"databases": found["databases"]}, found.get("next"), limit))

    @policy("instance:extension:database:create")
    @routes.body(DatabasesBody)
    @routes.answers(202, None, 400, 415, 422)
    def post(self, body: dict[str, Any], project_id: str, instance_id: str) -> ResponseReturnValue:
        """Create databases"""
        datastores.check_accounts(with_databases(instance_id), body["databases"], [])
        guests.change(context(), instance_id, "create_databases", {"databases": [lifecycle.given(d) for d in body["databases"]]})
        return empty(202)


@routes.route(f"{ONE}/databases/<path:name>")
class OneDatabase(MethodView):
    @policy("instance:extension:database:show")
    @routes.answers(501)
    def get(self, project_id: str, instance_id: str, name: str) -> ResponseReturnValue:
        """Not implemented, as ever: list the databases"""
        with services().database.read() as s:
            instances.find(s, context(), instance_id)
        raise NotSupported("A database can't be shown: list the databases of the instance.")

    @policy("instance:extension:database:delete")
    @routes.answers(202, None, 400, 422)
    def delete(self, project_id: str, instance_id: str, name: str) -> ResponseReturnValue:
        """Delete a database"""
        datastores.check_database(with_databases(instance_id), name)
        guests.change(context(), instance_id, "delete_database", {"name": name})
        return empty(202)


@routes.route(f"{ONE}/root")
class Root(MethodView):
    @policy("instance:extension:root:index")
    @routes.answers(200, RootState)
    def get(self, project_id: str, instance_id: str) -> ResponseReturnValue:
        """Show whether root was ever enabled"""
        with services().database.read() as s:
            instance = instances.find(s, context(), instance_id)
        return reply({"rootEnabled": instance.root_enabled_at is not None})

    @policy("instance:extension:root:create")
    @routes.body(RootBody, required=False)
    @routes.answers(200, RootAnswer, 400, 415, 422)
    def post(self, body: dict[str, Any], project_id: str, instance_id: str) -> ResponseReturnValue:
        """Enable root, or give it another password

        The password is shown in this answer only.
        """
        manager = ready_manager(instance_id)
        password = body.get("password") or lifecycle.generated_password()
        running = guests.change(context(), instance_id, "enable_root", {"password": password})
        if running:
            raise ServiceUnavailable(
                f"Operation {running} enables root but has not ended in time. Enable root again to learn its password."
            )
        return reply({"user": {"name": datastores.traits(manager).superuser, "password": password}})

    @policy("instance:extension:root:delete")
    @routes.answers(204, None, 422)
    def delete(self, project_id: str, instance_id: str) -> ResponseReturnValue:
        """Disable root"""
        with services().database.read() as s:
            instance, _ = instances.find_ready(s, context(), instance_id)
        if instance.root_enabled_at is None:
            raise NotFound("Root user has never been enabled on the instance.")
        guests.change(context(), instance_id, "disable_root", {})
        return empty(204)
