"""The API as the commands use it: signed in with a cloud of clouds.yaml, JSON in and out."""

import http.client
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import yaml

from cli.errors import CliError
from cli.http import opener
from cli.statedir import StateDir

TIMEOUT = 30.0
PATIENCE = 20.0
PAUSE = 0.3
NOT_FOUND = 404
CLOUD = "coffer"
"""The cloud of clouds.yaml that commands sign in with unless told otherwise."""


class ApiError(CliError):
    """The API's own words, with its status code."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(f"the API answers {status}: {message}", hint)
        self.status = status


@dataclass(frozen=True)
class Api:
    """`url` is the project's own: .../v1.0/<project id>; `cloud` is who has signed in."""

    url: str
    token: str
    state: StateDir
    cloud: str = CLOUD

    def command(self, words: str) -> str:
        """A command as this user on this state directory, ready to be pasted into any shell."""
        who = "" if self.cloud == CLOUD else f" --os-cloud {self.cloud}"
        return self.state.command(f"{words}{who}")

    def get(self, path: str) -> Any:
        """Asks again for a while when nothing answers: the API may just be coming back."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._call("GET", path)
            except Unreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE)

    def post(self, path: str, body: Any) -> Any:
        return self._call("POST", path, body)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        hint = f"{self.state.command('status')} shows what runs"
        return call(method, f"{self.url}{path}", body, {"X-Auth-Token": self.token}, hint)[0]


def sign_in(state: StateDir, cloud: str = CLOUD) -> Api:
    """Raises CliError when there is no such cloud, or nothing answers."""
    auth = _cloud(state, cloud)["auth"]
    user = {"name": auth["username"], "domain": {"name": auth["user_domain_name"]}, "password": auth["password"]}
    scope = {"project": {"name": auth["project_name"], "domain": {"name": auth["project_domain_name"]}}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    try:
        answer, headers = call("POST", f"{auth['auth_url']}/auth/tokens", body, {})
    except Unreachable as e:
        raise CliError(f"Coffer does not answer in {state.root}", f"start it: {state.command('up')}") from e
    catalog = {service["type"]: service["endpoints"] for service in answer["token"]["catalog"]}
    url = next(endpoint["url"] for endpoint in catalog["database"] if endpoint["interface"] == "public")
    return Api(url.rstrip("/"), headers["X-Subject-Token"], state, cloud)


class Unreachable(CliError):
    """Nothing answers there."""


def call(method: str, url: str, body: Any, headers: dict[str, str], hint: str = "") -> tuple[Any, http.client.HTTPMessage]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method=method)  # noqa: S310
    try:
        with opener.open(request, timeout=TIMEOUT) as response:
            raw = response.read()
            return (json.loads(raw) if raw else None), response.headers
    except urllib.error.HTTPError as e:
        raise ApiError(e.code, _fault(e.read())) from e
    except (urllib.error.URLError, OSError, http.client.HTTPException) as e:
        raise Unreachable(f"nothing answers at {url}", hint) from e


def _fault(raw: bytes) -> str:
    """The message of a fault body: {"badRequest": {"code": 400, "message": "..."}}."""
    try:
        return str(next(iter(json.loads(raw).values()))["message"])
    except (ValueError, AttributeError, KeyError, TypeError, StopIteration):
        return raw.decode(errors="replace")[:300]


def _cloud(state: StateDir, name: str) -> dict[str, Any]:
    try:
        clouds = yaml.safe_load(state.clouds.read_text())["clouds"]
    except FileNotFoundError as e:
        raise CliError(f"there is no Coffer in {state.root}", f"start one: {state.command('up')}") from e
    if name not in clouds:
        raise CliError(f"there is no cloud {name} in {state.clouds}", f"its clouds are {', '.join(clouds)}")
    found: dict[str, Any] = clouds[name]
    return found
