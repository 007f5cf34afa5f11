"""Names PostgreSQL can hold."""

from guest_agent.errors import InvalidRequest
from guest_agent.specs import ANY_HOST

INTERNAL_DATABASES = frozenset({"postgres", "template0", "template1"})
INTERNAL_ROLES = frozenset({"os_admin", "postgres"})
# Words that stand for something else wherever a role can be named, in pg_hba.conf and in GRANT.
KEYWORDS = frozenset({"public", "none", "all", "current_user", "current_role", "session_user"})

MAX_BYTES = 63


def check_database_name(name: str) -> None:
    _check(name, "database")
    if name in INTERNAL_DATABASES:
        raise InvalidRequest(f"The database name '{name}' is reserved.")


def check_user_name(name: str) -> None:
    _check(name, "user")
    if name in INTERNAL_ROLES or name.casefold() in KEYWORDS or name.startswith("pg_"):
        raise InvalidRequest(f"The user name '{name}' is reserved.")


def check_host(host: str) -> None:
    if host != ANY_HOST:
        raise InvalidRequest("PostgreSQL's users are the same from every host; the host can only be %.")


def _check(name: str, what: str) -> None:
    if not name or name != name.strip() or not name.isprintable() or len(name.encode()) > MAX_BYTES:
        raise InvalidRequest(f"A {what} name has 1 to {MAX_BYTES} bytes, no space at its ends and no control character.")
