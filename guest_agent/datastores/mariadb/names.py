"""Names MariaDB can hold, and how they are written into statements."""

import ipaddress
import re

from guest_agent.errors import InvalidRequest

INTERNAL_DATABASES = frozenset({"mysql", "information_schema", "performance_schema", "sys"})
INTERNAL_USERS = frozenset({"", "root", "os_admin", "mysql", "mariadb.sys"})
# Words that stand for something else wherever a user or role can be named.
KEYWORDS = frozenset({"public", "none", "current_user", "current_role"})

MAX_DATABASE = 64
MAX_USER = 80
MAX_FILE_NAME = 255
PLAIN_IN_FILE_NAME = re.compile(r"[A-Za-z0-9_]", re.ASCII)
WIDTH_IN_FILE_NAME = len("@0000")

HOST_PATTERN = re.compile(r"(?:(?:%|\d{1,3})\.){0,3}(?:%|\d{1,3})", re.ASCII)


def check_database_name(name: str) -> None:
    _check_characters(name, "database")
    # Grants are made for patterns, where _ and % take a backslash each, and a pattern is as long as a name.
    if len(grant_pattern(name)) > MAX_DATABASE:
        raise InvalidRequest(f"A database name has at most {MAX_DATABASE} characters, _ and % counting twice.")
    file_name = sum(1 if PLAIN_IN_FILE_NAME.match(character) else WIDTH_IN_FILE_NAME for character in name)
    if file_name > MAX_FILE_NAME:
        raise InvalidRequest("That database name is too long: characters other than letters, digits and _ count fivefold.")
    if name.casefold() in INTERNAL_DATABASES or name.startswith("#mysql50#"):
        raise InvalidRequest(f"The database name '{name}' is reserved.")


def check_user_name(name: str) -> None:
    _check_characters(name, "user")
    if len(name) > MAX_USER:
        raise InvalidRequest(f"A user name has at most {MAX_USER} characters.")
    if len(name) > 1 and name.startswith("'") and name.endswith("'"):
        # At login the server takes such a pair off the name it is given.
        raise InvalidRequest("A user name is not enclosed in single quotes.")
    if name.casefold() in INTERNAL_USERS | KEYWORDS:
        raise InvalidRequest(f"The user name '{name}' is reserved.")


def check_host(host: str) -> None:
    """Addresses and patterns of addresses: the server resolves no names, so a host name would never let anybody in."""
    if not (_is_pattern(host) or _is_address(host) or _is_network(host)):
        raise InvalidRequest("A host is %, an address, a pattern such as 10.0.%, or a network such as 10.0.0.0/255.0.0.0.")


def _check_characters(name: str, what: str) -> None:
    if not name or name != name.strip() or not name.isprintable() or "\\" in name or any(c > "\uffff" for c in name):
        raise InvalidRequest(
            f"A {what} name is not empty, has no space at its ends, no backslash, no control character and no emoji."
        )


def _is_pattern(host: str) -> bool:
    if not HOST_PATTERN.fullmatch(host):
        return False
    parts = host.split(".")
    return (len(parts) == 4 or parts[-1] == "%") and all(part == "%" or _is_octet(part) for part in parts)


def _is_octet(part: str) -> bool:
    return int(part) <= 255 and str(int(part)) == part


def _is_address(host: str) -> bool:
    try:
        return str(ipaddress.ip_address(host)) == host
    except ValueError:
        return False


def _is_network(host: str) -> bool:
    """A mask of nothing but zeros is no network: the server takes it for none at all."""
    address, _, mask = host.partition("/")
    try:
        network = ipaddress.IPv4Network((address, mask))
    except ValueError:
        return False
    return network.prefixlen > 0 and network.with_netmask == host


def identifier(name: str) -> str:
    """A quoted identifier for a statement that the driver still puts parameters into, hence the doubled percent sign."""
    if "\0" in name:
        raise InvalidRequest("A name has no NUL in it.")
    return "`" + name.replace("`", "``").replace("%", "%%") + "`"


def grant_pattern(name: str) -> str:
    """The pattern that matches this database alone."""
    return name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")


def database_of_pattern(pattern: str) -> str:
    return re.sub(r"\\(.)", r"\1", pattern)
