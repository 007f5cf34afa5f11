"""The jobs, made of what every datastore can do.

A job that makes something first checks, in a step of its own, that it is not there yet. Once the next step has been
journaled, what is found there is the job's own work, so each later step only has to bring about its end.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from guest_agent import fields, specs
from guest_agent.datastores.base import ENGINE, Datastore
from guest_agent.errors import (
    DatabaseExists,
    DatabaseNotFound,
    InvalidRequest,
    RootNotEnabled,
    UnknownMethod,
    UserExists,
    UserNotFound,
)
from guest_agent.jobs import Notes, Step
from guest_agent.specs import Account, DatabaseSpec, UserSpec


def steps(store: Datastore, kind: str, spec: dict[str, Any]) -> list[Step]:
    """The steps of a job. Raises if the spec cannot be carried out whatever the engine's state."""
    build = KINDS.get(kind)
    if build is None:
        raise UnknownMethod(f"This agent knows no job {kind!r}.")
    return build(store, spec)


def step(name: str, act: Callable[[], Mapping[str, Any] | None]) -> Step:
    """A step that needs no notes."""

    def run(_: Notes) -> Mapping[str, Any] | None:
        return act()

    return Step(name, run)


def _accounts_absent(store: Datastore, accounts: Sequence[Account]) -> None:
    present = {user.account for user in store.users()}
    for account in accounts:
        if account in present:
            raise UserExists(f"There is a user {account} already.")


def _accounts_present(store: Datastore, accounts: Sequence[Account]) -> None:
    present = {user.account for user in store.users()}
    for account in accounts:
        if account not in present:
            raise UserNotFound(f"There is no user {account}.")


def _databases_present(store: Datastore, names: Sequence[str]) -> None:
    if not names:
        return
    present = set(store.database_names())
    for name in names:
        if name not in present:
            raise DatabaseNotFound(f"There is no database '{name}'.")


def _databases_absent(store: Datastore, names: Sequence[str]) -> None:
    present = set(store.database_names())
    for name in names:
        if name in present:
            raise DatabaseExists(f"There is a database '{name}' already.")


def _take_databases(store: Datastore, values: Sequence[DatabaseSpec]) -> Sequence[DatabaseSpec]:
    for database in values:
        store.check_database(database)
    specs.refuse_repeated([database.name for database in values], "databases")
    return values


def _take_users(store: Datastore, values: Sequence[UserSpec]) -> Sequence[UserSpec]:
    for user in values:
        store.check_account(user.account)
        for name in user.databases:
            store.check_database(DatabaseSpec(name))
    specs.refuse_repeated([user.account.key for user in values], "users")
    return values


def _take_account(store: Datastore, taken: dict[str, Any]) -> Account:
    account = Account(taken["name"], taken["host"] or specs.ANY_HOST)
    store.check_account(account)
    return account


def prepare(store: Datastore, spec: dict[str, Any]) -> list[Step]:
    taken = fields.take(
        spec,
        "spec",
        optional={
            "databases": fields.list_of(specs.database),
            "users": fields.list_of(specs.user),
            "root_password": specs.password,
        },
    )
    databases = _take_databases(store, taken["databases"] or ())
    users = _take_users(store, taken["users"] or ())
    known = {database.name for database in databases}
    for name in (name for user in users for name in user.databases):
        if name not in known:
            raise DatabaseNotFound(f"'{name}' is not among the databases to be made.")

    def make_databases() -> None:
        store.check_options(databases)
        for database in databases:
            store.create_database(database)

    def make_users() -> None:
        for user in users:
            store.create_user(user)

    def finish() -> dict[str, Any]:
        if taken["root_password"]:
            store.enable_root(taken["root_password"])
        return {"version": store.query_version(), "port": store.port}

    return [
        step("initialise", store.initialise),
        step("configure", store.configure),
        step("start", store.start),
        step("secure", store.secure),
        step("databases", make_databases),
        step("users", make_users),
        step("root", finish),
    ]


def _query(store: Datastore) -> Callable[[], None]:
    def query() -> None:
        store.query_version()

    return query


def restart(store: Datastore, spec: dict[str, Any]) -> list[Step]:
    fields.take(spec, "spec")
    return [step("stop", lambda: store.services.stop(ENGINE)), step("start", store.start), step("query", _query(store))]


def start(store: Datastore, spec: dict[str, Any]) -> list[Step]:
    fields.take(spec, "spec")
    return [step("start", store.start), step("query", _query(store))]


def stop(store: Datastore, spec: dict[str, Any]) -> list[Step]:
    fields.take(spec, "spec")
    return [step("stop", store.stop)]


def create_databases(store: Datastore, spec: dict[str, Any]) -> list[Step]:
    taken = fields.take(spec, "spec", required={"databases": fields.list_of(specs.database)})
    databases = _take_databases(store, taken["databases"])

    def check() -> None:
        _databases_absent(store, [database.name for database in databases])
        store.check_options(databases)

    def create() -> None:
        for database in databases:
            store.create_database(database)

    return [step("check", check), step("create", create)]


def delete_database(store: Datastore, spec: dict[str, Any]) -> list[Step]:
    name = fields.take(spec, "spec", required={"name": fields.text})["name"]
    store.check_database(DatabaseSpec(name))
    return [
        step("check", lambda: _databases_present(store, [name])),
        step("delete", lambda: store.drop_database(name)),
    ]


def create_users(store: Datastore, spec: dict[str, Any]) -> list[Step]:
    taken = fields.take(spec, "spec", required={"users": fields.list_of(specs.user)})
    users = _take_users(store, taken["users"])

    def check() -> None:
        _accounts_absent(store, [user.account for user in users])
        _databases_present(store, [name for user in users for name in user.databases])

    def create() -> None:
        for user in users:
            store.create_user(user)

    return [step("check", check), step("create", create)]


def delete_user(store: Datastore, spec: dict[str, Any]) -> list[Step]:
    account = _take_account(store, fields.take(spec, "spec", {"name": fields.text}, {"host": fields.text}))
    return [
        step("check", lambda: _accounts_present(store, [account])),
        step("delete", lambda: store.drop_user(account)),
    ]


def update_user(store: Datastore, spec: dict[str, Any]) -> list[Step]:
    taken = fields.take(spec, "spec", {"name": fields.text, "new": fields.json_object}, {"host": fields.text})
    optional = {"name": fields.text, "password": specs.password, "host": fields.text}
    new = fields.take(taken["new"], "spec.new", optional=optional)
    old_account = _take_account(store, taken)
    new_account = Account(new["name"] or old_account.name, new["host"] or old_account.host)
    store.check_account(new_account)
    if new_account == old_account and not new["password"]:
        raise InvalidRequest("Nothing is to be changed.")

    def check() -> None:
        _accounts_present(store, [old_account])
        if new_account != old_account:
            _accounts_absent(store, [new_account])

    def update() -> None:
        if new_account != old_account:
            store.rename_user(old_account, new_account)
        if new["password"]:
            store.set_password(new_account, new["password"])

    return [step("check", check), step("update", update)]


def change_passwords(store: Datastore, spec: dict[str, Any]) -> list[Step]:
    taken = fields.take(spec, "spec", required={"users": fields.list_of(specs.user_with_password)})
    users = _take_users(store, taken["users"])

    def change() -> None:
        for user in users:
            store.set_password(user.account, user.password)

    return [
        step("check", lambda: _accounts_present(store, [user.account for user in users])),
        step("change", change),
    ]


def grant_access(store: Datastore, spec: dict[str, Any]) -> list[Step]:
    taken = fields.take(
        spec,
        "spec",
        {"name": fields.text, "databases": fields.list_of(specs.database_name)},
        {"host": fields.text},
    )
    account = _take_account(store, taken)
    for name in taken["databases"]:
        store.check_database(DatabaseSpec(name))

    def check() -> None:
        _accounts_present(store, [account])
        _databases_present(store, taken["databases"])

    return [step("check", check), step("grant", lambda: store.grant(account, taken["databases"]))]


def revoke_access(store: Datastore, spec: dict[str, Any]) -> list[Step]:
    taken = fields.take(spec, "spec", {"name": fields.text, "database": fields.text}, {"host": fields.text})
    account = _take_account(store, taken)
    database = taken["database"]
    store.check_database(DatabaseSpec(database))

    def check() -> None:
        if database not in store.show_user(account).databases:
            raise DatabaseNotFound(f"{account} has no access to a database '{database}'.")

    return [step("check", check), step("revoke", lambda: store.revoke(account, database))]


def enable_root(store: Datastore, spec: dict[str, Any]) -> list[Step]:
    password = fields.take(spec, "spec", required={"password": specs.password})["password"]

    def enable() -> dict[str, Any]:
        store.enable_root(password)
        return {"name": store.root_name}

    return [step("enable", enable)]


def disable_root(store: Datastore, spec: dict[str, Any]) -> list[Step]:
    fields.take(spec, "spec")

    def check() -> None:
        if not store.root_enabled():
            raise RootNotEnabled("Root is not enabled.")

    return [step("check", check), step("disable", store.disable_root)]


KINDS: dict[str, Callable[[Datastore, dict[str, Any]], list[Step]]] = {
    function.__name__: function
    for function in (
        prepare,
        restart,
        start,
        stop,
        create_databases,
        delete_database,
        create_users,
        delete_user,
        update_user,
        change_passwords,
        grant_access,
        revoke_access,
        enable_root,
        disable_root,
    )
}
