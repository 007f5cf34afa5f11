"""Tokens of the development identity: sealed, so that every API process can check them and none need be kept."""

import base64
import binascii
import hmac
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from api.auth import Grant
from api.context import base_url
from models.base import new_id
from security.keyring import Keyring, Unsealable

PATH = "/identity"
"""Where the API serves the development identity."""
PURPOSE = "token"
CONTEXT = "development-identity"
LIFETIME = 12 * 3600
MOST_REMEMBERED = 1000


@dataclass(frozen=True)
class Project:
    id: str
    name: str


@dataclass(frozen=True)
class User:
    id: str
    name: str
    password: str
    project: Project
    roles: tuple[str, ...]

    def __repr__(self) -> str:
        return f"User({self.name})"


@dataclass(frozen=True)
class Token:
    user: User
    project: Project | None
    issued_at: datetime
    expires_at: datetime
    audit_id: str


class Directory:
    """Users and projects of the identity file, read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read_at = -1
        self._users: dict[str, User] = {}

    def users(self) -> dict[str, User]:
        """By id."""
        changed = self._path.stat().st_mtime_ns
        with self._lock:
            if changed != self._read_at:
                self._users, self._read_at = _users(json.loads(self._path.read_text())), changed
            return self._users

    def projects(self) -> dict[str, Project]:
        return {user.project.id: user.project for user in self.users().values()}

    def authenticate(self, name_or_id: str, password: str) -> User | None:
        """Takes the same time whether the name or the password is wrong."""
        found = next((u for u in self.users().values() if name_or_id in (u.id, u.name)), None)
        right = hmac.compare_digest((found.password if found else new_id()).encode(), password.encode())
        return found if right else None


class DevelopmentTokens:
    def __init__(self, directory: Directory, keyring: Keyring) -> None:
        self.directory, self._keyring = directory, keyring
        self._unsealed = lru_cache(MOST_REMEMBERED)(self._unseal)

    def issue(self, user: User, project: Project | None, until: float | None = None) -> tuple[str, Token]:
        now = time.time()
        until = min(until or now + LIFETIME, now + LIFETIME)
        body = {"u": user.id, "p": project.id if project else "", "i": now, "e": until, "a": new_id()}
        sealed = self._keyring.seal(PURPOSE, CONTEXT, json.dumps(body).encode())
        return base64.urlsafe_b64encode(sealed).decode().rstrip("="), _token(user, project, body)

    def open(self, token: str) -> Token | None:
        """What the token says, or None when it is forged, expired, or its user is gone."""
        body = self._unsealed(token)
        if body is None:
            return None
        user = self.directory.users().get(body["u"])
        if user is None or body["e"] <= time.time() or body["p"] not in ("", user.project.id):
            return None
        return _token(user, user.project if body["p"] else None, body)

    def _unseal(self, token: str) -> dict[str, Any] | None:
        """What is sealed in the token; None when it is forged.  It never changes, what it is worth does."""
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            body: dict[str, Any] = json.loads(self._keyring.open(PURPOSE, CONTEXT, sealed))
        except (Unsealable, binascii.Error, ValueError):
            return None
        return body

    def identity_url(self) -> str:
        return f"{base_url()}{PATH}/v3"

    def check(self, environ: Mapping[str, Any]) -> Grant | None:
        token = environ.get("HTTP_X_AUTH_TOKEN", "")
        opened = self.open(token) if token else None
        if opened is None:
            return None
        if opened.project is None:
            return Grant(opened.user.id, "", ())
        return Grant(opened.user.id, opened.project.id, opened.user.roles)


def _users(body: dict[str, Any]) -> dict[str, User]:
    """`{"projects": [{id, name}], "users": [{id, name, password, project_id, project?, roles}]}`."""
    names = {p["id"]: p["name"] for p in body.get("projects", [])}
    users = {}
    for u in body["users"]:
        project = Project(u["project_id"], u.get("project") or names.get(u["project_id"], u["project_id"]))
        users[u["id"]] = User(u["id"], u["name"], u["password"], project, tuple(u["roles"]))
    return users


def _token(user: User, project: Project | None, body: dict[str, Any]) -> Token:
    issued, expires = (datetime.fromtimestamp(body[key], UTC) for key in ("i", "e"))
    return Token(user, project, issued, expires, body["a"])
