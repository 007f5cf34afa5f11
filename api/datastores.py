"""What the API must know about datastores beyond their rows: names that are the engine's own, and what an engine lacks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from api.errors import BadRequest, NotFound, Unprocessable
from models import Datastore, DatastoreVersion

ANY_HOST = "%"
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Traits:
    """`reserved_*`: what the guest would refuse anyhow, told before anything is built."""

    reserved_databases: frozenset[str] = frozenset()
    reserved_users: frozenset[str] = frozenset({"os_admin", "root"})
    has_databases: bool = True
    superuser: str = "root"
    """Who `root enable` lets in, by the engine's own name."""
    port: int = 0
    """Where the engine listens; 0: not known, and no security group can let anybody in."""


_MYSQL = Traits(
    reserved_databases=frozenset({"mysql", "information_schema", "performance_schema", "sys"}),
    reserved_users=frozenset({"os_admin", "root", "mysql", "mariadb.sys", "public", "none", "current_user", "current_role"}),
    port=3306,
)
TRAITS = {
    "mariadb": _MYSQL,
    "mysql": _MYSQL,
    "postgresql": Traits(
        reserved_databases=frozenset({"postgres", "template0", "template1"}),
        reserved_users=frozenset({"os_admin", "root", "postgres", "public", "none"}),
        superuser="postgres",
        port=5432,
    ),
    "redis": Traits(
        reserved_users=frozenset({"os_admin", "root", "default"}), has_databases=False, superuser="default", port=6379
    ),
}


def traits(manager: str) -> Traits:
    return TRAITS.get(manager, Traits())


def check_accounts(manager: str, databases: Sequence[Mapping[str, Any]], users: Sequence[Mapping[str, Any]]) -> None:
    """What is wrong with them whatever the engine holds.  Raises BadRequest or Unprocessable."""
    engine = traits(manager)
    if databases and not engine.has_databases:
        raise Unprocessable(f"The datastore {manager} has no databases: leave `databases` out.")
    _refuse_twice((d["name"] for d in databases), "Database")
    _refuse_twice((f"{u['name']}@{u.get('host') or ANY_HOST}" for u in users), "User")
    for database in databases:
        check_database(manager, database["name"])
    for user in users:
        check_user(manager, user["name"])


def check_database(manager: str, name: str) -> None:
    if name.casefold() in traits(manager).reserved_databases:
        raise BadRequest(f"The database name '{name}' is reserved.")


def check_user(manager: str, name: str) -> None:
    if name.casefold() in traits(manager).reserved_users:
        raise BadRequest(f"The user name '{name}' is reserved.")


def check_granted(databases: Sequence[Mapping[str, Any]], users: Sequence[Mapping[str, Any]]) -> None:
    """A user that is made together with the databases can only be given those."""
    made = {d["name"] for d in databases}
    for user in users:
        for granted in user.get("databases") or ():
            if granted["name"] not in made:
                raise BadRequest(
                    f"User '{user['name']}' is given the database '{granted['name']}', which is not among `databases`."
                )


def _refuse_twice(names: Iterable[str], what: str) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise BadRequest(f"{what} '{name}' is given more than once.")
        seen.add(name)


# -- looking them up


def find_datastore(s: Session, name_or_id: str) -> Datastore:
    found = s.scalars(select(Datastore).where(or_(Datastore.id == name_or_id, Datastore.name == name_or_id))).first()
    if found is None:
        raise NotFound(f"Datastore '{name_or_id}' cannot be found.")
    return found


def _default_datastore(s: Session, name: str) -> Datastore:
    """Raises BadRequest, as whoever asks can help it: by naming one."""
    try:
        if name:
            return find_datastore(s, name)
    except NotFound:
        log.warning("default_datastore is not there", name=name)
    raise BadRequest("Name the datastore: `datastore` with `type` and `version`; GET /datastores lists them.")


def versions_of(s: Session, datastore: Datastore, *, inactive: bool = False) -> Sequence[DatastoreVersion]:
    mine = select(DatastoreVersion).where(DatastoreVersion.datastore_id == datastore.id).order_by(DatastoreVersion.name)
    return list(s.scalars(mine if inactive else mine.where(DatastoreVersion.active)))


def chosen_version(s: Session, wanted: Mapping[str, str], default_datastore: str) -> tuple[Datastore, DatastoreVersion]:
    """The version to build.  Raises NotFound or BadRequest with what to say instead."""
    datastore = find_datastore(s, wanted["type"]) if "type" in wanted else _default_datastore(s, default_datastore)
    if "version" not in wanted and "version_number" not in wanted:
        default = datastore.default_version_id and s.get(DatastoreVersion, datastore.default_version_id)
        if not default or not default.active:
            raise BadRequest(f"Datastore '{datastore.name}' has no default version: give `version`.")
        return datastore, default
    named = wanted.get("version")
    number = wanted.get("version_number")
    found = [
        v
        for v in versions_of(s, datastore, inactive=True)
        if (named is None or named in (v.id, v.name)) and (number is None or number == v.version)
    ]
    if not found:
        raise BadRequest(f"Datastore '{datastore.name}' has no version '{named or number}'.")
    if not (active := [v for v in found if v.active]):
        raise BadRequest(f"Version '{named or number}' of datastore '{datastore.name}' is not active.")
    if len(active) > 1:
        raise BadRequest(f"There are several versions '{named or number}': give the id, or `version_number` too.")
    return datastore, active[0]
