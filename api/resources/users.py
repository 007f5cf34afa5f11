"""/v1.0/{project_id}/instances/{id}/users"""

from typing import Any

from flask.typing import ResponseReturnValue
from flask.views import MethodView

from api import datastores, guests, paging
from api.context import context
from api.errors import NotFound
from api.lifecycle import given
from api.replies import empty, reply
from api.resources.extensions import ready_manager, with_databases
from api.routes import Routes, policy
from api.schemas.common import PageQuery
from api.schemas.extensions import (
    DatabaseList,
    GrantsBody,
    PasswordsBody,
    UserBody,
    UserChangeBody,
    UserList,
    UsersBody,
)

routes = Routes("users", "Users of an instance's engine. In paths a user is `name` or `name@host`.")

USERS = "/instances/<string:instance_id>/users"
ONE = f"{USERS}/<path:user>"


def account(user: str) -> dict[str, str]:
    """`name@host`; without a host, or with nothing behind a last @, the host is any."""
    name, at, host = user.rpartition("@")
    if not at or not host:
        return {"name": user, "host": datastores.ANY_HOST}
    return {"name": name, "host": host}


def create(instance_id: str, users: list[dict[str, Any]]) -> None:
    manager = ready_manager(instance_id)
    datastores.check_accounts(manager, [], users)
    if any(user.get("databases") for user in users):
        with_databases(instance_id)
    guests.change(context(), instance_id, "create_users", {"users": [given(user) for user in users]})


@routes.route(USERS)
class Users(MethodView):
    @policy("instance:extension:user:index")
    @routes.query(PageQuery)
    @routes.answers(200, UserList, 400, 422)
    def get(self, query: dict[str, Any], project_id: str, instance_id: str) -> ResponseReturnValue:
        """List users, by name and host"""
        ready_manager(instance_id)
        limit = paging.page_limit(query)
        found = guests.ask(context(), instance_id, "users.list", limit=limit, marker=query.get("marker"))
        return reply(paging.with_next({"users": found["users"]}, found.get("next"), limit))

    @policy("instance:extension:user:create")
    @routes.body(UsersBody)
    @routes.answers(202, None, 400, 415, 422)
    def post(self, body: dict[str, Any], project_id: str, instance_id: str) -> ResponseReturnValue:
        """Create users"""
        create(instance_id, body["users"])
        return empty(202)

    @policy("instance:extension:user:update_all")
    @routes.body(PasswordsBody)
    @routes.answers(202, None, 400, 415, 422)
    def put(self, body: dict[str, Any], project_id: str, instance_id: str) -> ResponseReturnValue:
        """Change passwords"""
        datastores.check_accounts(ready_manager(instance_id), [], body["users"])
        changed = [{**user, "host": user.get("host") or datastores.ANY_HOST} for user in body["users"]]
        guests.change(context(), instance_id, "change_passwords", {"users": changed})
        return empty(202)


@routes.route(ONE)
class OneUser(MethodView):
    @policy("instance:extension:user:show")
    @routes.answers(200, UserBody, 400, 422)
    def get(self, project_id: str, instance_id: str, user: str) -> ResponseReturnValue:
        """Show a user"""
        ready_manager(instance_id)
        return reply({"user": guests.ask(context(), instance_id, "users.show", **account(user))})

    @policy("instance:extension:user:create")
    @routes.body(UsersBody)
    @routes.answers(202, None, 400, 415, 422)
    def post(self, body: dict[str, Any], project_id: str, instance_id: str, user: str) -> ResponseReturnValue:
        """Create users, as openstacksdk asks for it"""
        if [u["name"] for u in body["users"]] != [user]:
            raise NotFound("The resource could not be found.")
        create(instance_id, body["users"])
        return empty(202)

    @policy("instance:extension:user:update")
    @routes.body(UserChangeBody)
    @routes.answers(202, None, 400, 415, 422)
    def put(self, body: dict[str, Any], project_id: str, instance_id: str, user: str) -> ResponseReturnValue:
        """Change the name, password or host of a user"""
        manager = ready_manager(instance_id)
        datastores.check_user(manager, account(user)["name"])
        datastores.check_user(manager, body["user"].get("name", ""))
        guests.change(context(), instance_id, "update_user", {**account(user), "new": body["user"]})
        return empty(202)

    @policy("instance:extension:user:delete")
    @routes.answers(202, None, 400, 422)
    def delete(self, project_id: str, instance_id: str, user: str) -> ResponseReturnValue:
        """Delete a user"""
        datastores.check_user(ready_manager(instance_id), account(user)["name"])
        guests.change(context(), instance_id, "delete_user", account(user))
        return empty(202)


@routes.route(f"{ONE}/databases")
class Grants(MethodView):
    @policy("instance:extension:user_access:index")
    @routes.answers(200, DatabaseList, 400, 422)
    def get(self, project_id: str, instance_id: str, user: str) -> ResponseReturnValue:
        """List the databases that a user may use"""
        with_databases(instance_id)
        return reply({"databases": guests.ask(context(), instance_id, "users.show", **account(user))["databases"]})

    @policy("instance:extension:user_access:update")
    @routes.body(GrantsBody)
    @routes.answers(202, None, 400, 415, 422)
    def put(self, body: dict[str, Any], project_id: str, instance_id: str, user: str) -> ResponseReturnValue:
        """Let a user use databases"""
        datastores.check_user(with_databases(instance_id), account(user)["name"])
        guests.change(context(), instance_id, "grant_access", {**account(user), "databases": body["databases"]})
        return empty(202)


@routes.route(f"{ONE}/databases/<path:name>")
class OneGrant(MethodView):
    @policy("instance:extension:user_access:delete")
    @routes.answers(202, None, 400, 422)
    def delete(self, project_id: str, instance_id: str, user: str, name: str) -> ResponseReturnValue:
        """Stop a user from using a database"""
        datastores.check_user(with_databases(instance_id), account(user)["name"])
        guests.change(context(), instance_id, "revoke_access", {**account(user), "database": name})
        return empty(202)
