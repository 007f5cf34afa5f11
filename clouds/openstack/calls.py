"""Calls of OpenStack's APIs through openstacksdk: one session, no retries, every failure a CloudError.

Requests are written out here, with a microversion of our choice, and not left to the library's resource classes: these ask
more often than needed, and send what the newest release they know of would like.
"""

import email.utils
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from keystoneauth1.adapter import Adapter
from keystoneauth1.exceptions import ClientException, EndpointNotFound, HttpError
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from openstack.connection import Connection
from requests.adapters import HTTPAdapter

from clouds.openstack.settings import Settings
from clouds.ports import CloudError

Json = dict[str, Any]
OnCall = Callable[[str, str], None]
"""Told of each HTTP request: method and URL."""

COMPUTE_VERSION = "2.52"
VOLUME_VERSION = "3.27"
CONNECTIONS = 64
LONGEST_WAIT = 300.0
MESSAGE_LENGTH = 300


class Web(requests.Session):
    """Keeps as many connections as a worker has threads, and tells of each request that goes out."""

    def __init__(self, on_call: OnCall) -> None:
        super().__init__()
        self._on_call = on_call
        for scheme in ("http://", "https://"):
            self.mount(scheme, HTTPAdapter(pool_connections=16, pool_maxsize=CONNECTIONS))

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        self._on_call(str(request.method), str(request.url))
        return super().send(request, **options)


class SilentSession(Session):
    """Logs nothing: a new server's user data holds a private key, and the library would write bodies down at debug level."""

    def request(self, url: str, method: str, **options: Any) -> requests.Response:  # type: ignore[override]
        return super().request(url, method, **{**options, "log": False})


class Refused(CloudError):
    """An answer that is an error.  `fault`: the service's own name for it, such as OverQuota."""

    def __init__(self, message: str, status: int, retry_after: float | None, fault: str) -> None:
        super().__init__(message, status, retry_after)
        self.fault = fault


class Service:
    """One service's API.  Paths begin below its versioned endpoint."""

    def __init__(
        self, name: str, adapter: Callable[[], Adapter], microversion: str | None = None, bearer: str | None = None
    ) -> None:
        self._name, self._adapter, self._microversion, self._bearer = name, adapter, microversion, bearer

    def as_bearer_of(self, token: str) -> "Service":
        """The same API, asked in the name of whoever has the token; the service user's own goes along, so that this one may expire on the way."""
        return Service(self._name, self._adapter, self._microversion, token)

    def get(self, path: str, **params: Any) -> Json:
        return self._call("GET", path, params=params)

    def post(self, path: str, body: Json) -> Json:
        return self._call("POST", path, json=body)

    def put(self, path: str, body: Json) -> Json:
        return self._call("PUT", path, json=body)

    def delete(self, path: str) -> None:
        """Absence is fine."""
        try:
            self._call("DELETE", path)
        except CloudError as error:
            if error.status != 404:
                raise

    def pages(self, path: str, items: str, **params: Any) -> Iterator[Json]:
        """Everything a list has, page by page."""
        while True:
            page = self.get(path, **params)
            yield from page[items]
            onward = _onward(page, items)
            if not onward:
                return
            params = {**params, **dict(parse_qsl(urlsplit(onward).query))}

    def _call(self, method: str, path: str, **options: Any) -> Json:
        answer = self.ask(method, path, **options)
        return dict(answer.json()) if answer.content else {}

    def ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any) -> requests.Response:
        """The answer itself, for what is said in headers."""
        if self._microversion:
            options["microversion"] = self._microversion
        sent = {**_JSON, **(headers or {})}
        try:
            if self._bearer is not None:
                # The library adds no token then; the endpoint is still that of the service user's catalog.
                options["authenticated"], sent["X-Auth-Token"] = False, self._bearer
                sent["X-Service-Token"] = str(self._adapter().get_token())
            answer = self._adapter().request(
                path, method, raise_exc=False, connect_retries=0, status_code_retries=0, headers=sent, **options
            )
        except HttpError as error:  # of Keystone, on the way to a token
            raise CloudError(f"{self._name}: {type(error).__name__}: {error}", 503) from error
        except ClientException as error:
            raise CloudError(f"{self._name} does not answer: {type(error).__name__}: {error}", 503) from error
        if answer.status_code >= 400:
            raise _refused(self._name, answer)
        return answer

    def endpoint(self) -> str:
        """The URL that paths begin below, as the catalog has it."""
        try:
            found = self._adapter().get_endpoint()
        except ClientException as error:
            raise CloudError(f"{self._name} does not answer: {type(error).__name__}: {error}", 503) from error
        if not found:
            raise CloudError(f"{self._name} is not in the catalog.", 503)
        return str(found).rstrip("/")


def _onward(page: Json, items: str) -> str | None:
    """The next page's URL: beside the items, or as Designate has it."""
    for link in page.get(f"{items}_links", []):
        if link["rel"] == "next":
            return str(link["href"])
    links = page.get("links")
    return links.get("next") if isinstance(links, dict) else None


_JSON = {"Accept": "application/json"}


class Services:
    """The services of one cloud, as one user of one project.  Nothing is asked before the first call."""

    def __init__(self, settings: Settings, on_call: OnCall) -> None:
        who = settings.credentials
        self.web = Web(on_call)
        self._where = who.region_name or None, who.interface
        self._login = v3.Password(
            auth_url=who.auth_url,
            username=who.username,
            password=who.password,
            user_domain_name=who.user_domain_name,
            project_name=who.project_name,
            project_domain_name=who.project_domain_name,
        )
        self._session = SilentSession(
            session=self.web,
            timeout=settings.call_timeout,
            verify=False if who.insecure else who.cacert or True,
            auth=self._login,
        )
        self._connection = Connection(
            session=self._session, region_name=who.region_name or None, interface=who.interface, app_name="coffer"
        )
        connection = self._connection
        self.compute = Service("Nova", lambda: connection.compute, COMPUTE_VERSION)
        self.volumes = Service("Cinder", lambda: connection.block_storage, VOLUME_VERSION)
        self.networks = Service("Neutron", lambda: connection.network)
        self.images = Service("Glance", lambda: connection.image)
        self.objects = Service("Swift", lambda: connection.object_store)
        self.names = Service("Designate", lambda: connection.dns)
        self.identity = Service("Keystone", lambda: connection.identity)

    def roles(self) -> tuple[str, ...]:
        """Those of the user in the project.  Logs in."""
        try:
            return tuple(self._login.get_access(self._session).role_names or ())
        except ClientException as error:
            raise CloudError(f"Keystone does not answer: {type(error).__name__}: {error}", 503) from error

    def has(self, service_type: str) -> bool:
        """Whether the catalog has an endpoint of that service, where they are looked for."""
        region, interface = self._where
        try:
            return bool(self._session.get_endpoint(service_type=service_type, region_name=region, interface=interface))
        except EndpointNotFound:
            return False
        except ClientException as error:
            raise CloudError(f"Keystone does not answer: {type(error).__name__}: {error}", 503) from error

    def project_id(self) -> str:
        try:
            return str(self._session.get_project_id())
        except ClientException as error:
            raise CloudError(f"Keystone does not answer: {type(error).__name__}: {error}", 503) from error


def _refused(service: str, answer: requests.Response) -> Refused:
    fault, message = _told(answer)
    status = answer.status_code
    if status == 403 and "quota" not in message.lower():
        # Not a limit, but something the service user may not do: as final, and another mend.
        status = 400
    text = f"{service}: {message or answer.reason} ({answer.status_code})"
    return Refused(text[:MESSAGE_LENGTH], status, _retry_after(answer), fault)


def _told(answer: requests.Response) -> tuple[str, str]:
    """A fault's name and message: {"badRequest": {"message"}} and the like, Neutron's with a type of its own, Designate's without a name."""
    try:
        body = answer.json()
    except ValueError:
        return "", " ".join(answer.text.split())
    if not isinstance(body, dict):
        return "", ""
    for name, fault in body.items():
        if isinstance(fault, dict) and "message" in fault:
            return str(fault.get("type") or name), str(fault["message"])
    return str(body.get("type") or ""), str(body.get("message") or "")


def _retry_after(answer: requests.Response) -> float | None:
    """Seconds or a date, whichever the header has; never longer than a few minutes."""
    given = answer.headers.get("Retry-After", "")
    if answer.status_code not in (429, 503) or not given:
        return None
    try:
        seconds = float(given)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(given).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT)
