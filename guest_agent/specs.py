"""What databases, users and accounts are in a spec, whatever the engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from guest_agent import fields
from guest_agent.errors import InvalidRequest

ANY_HOST = "%"
MAX_PASSWORD = 512


@dataclass(frozen=True)
class DatabaseSpec:
    name: str
    character_set: str | None = None
    collate: str | None = None


@dataclass(frozen=True, order=True)
class Account:
    """Who may log in, and from where."""

    name: str
    host: str = ANY_HOST

    @property
    def key(self) -> str:
        """Unambiguous, as no host has an @ in it."""
        return f"{self.name}@{self.host}"

    def __str__(self) -> str:
        return f"'{self.name}'@'{self.host}'"


@dataclass(frozen=True)
class UserSpec:
    account: Account
    password: str
    databases: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"UserSpec({self.account}, databases={self.databases})"


@dataclass(frozen=True)
class User:
    """A user as the engine has it."""

    account: Account
    databases: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        databases = [{"name": name} for name in self.databases]
        return {"name": self.account.name, "host": self.account.host, "databases": databases}


def database(value: object, where: str) -> DatabaseSpec:
    taken = fields.take(
        value, where, required={"name": fields.text}, optional={"character_set": fields.text, "collate": fields.text}
    )
    return DatabaseSpec(**taken)


def database_name(value: object, where: str) -> str:
    return str(fields.take(value, where, required={"name": fields.text})["name"])


def password(value: object, where: str) -> str:
    text = fields.text(value, where)
    if not text or len(text) > MAX_PASSWORD or "\0" in text:
        raise InvalidRequest(f"{where} is empty, longer than {MAX_PASSWORD} characters or has a NUL in it.")
    return text


def user(value: object, where: str) -> UserSpec:
    taken = fields.take(
        value,
        where,
        required={"name": fields.text, "password": password},
        optional={"host": fields.text, "databases": fields.list_of(database_name)},
    )
    account = Account(taken["name"], taken["host"] or ANY_HOST)
    return UserSpec(account, taken["password"], tuple(taken["databases"] or ()))


def user_with_password(value: object, where: str) -> UserSpec:
    taken = fields.take(value, where, required={"name": fields.text, "password": password}, optional={"host": fields.text})
    return UserSpec(Account(taken["name"], taken["host"] or ANY_HOST), taken["password"])


def refuse_repeated(names: Sequence[str], where: str) -> None:
    if len(set(names)) != len(names):
        raise InvalidRequest(f"{where} has a name more than once.")
