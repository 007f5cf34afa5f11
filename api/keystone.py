"""Keystone's tokens, checked by keystonemiddleware; it is asked in the API's own chain, so that one place decides what needs a token."""

import threading
import time as clock
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from keystoneauth1 import loading
from keystoneauth1.exceptions import ClientException
from keystonemiddleware import auth_token
from oslo_config import cfg

from api.auth import Grant
from api.errors import RETRY_SOON, ServiceUnavailable

log = structlog.get_logger(__name__)

GROUP = "keystone_authtoken"
CREDENTIALS = ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")
DEFAULTS = {"http_connect_timeout": 5, "http_request_max_retries": 1}
"""A request waits for Keystone; by default the middleware would let it do so forever."""
SERVICE_TYPES = {"/v1.0/": "database", "/messaging/": "messaging"}
"""Whose access rules of application credentials apply, by the beginning of the path."""
CACHE = "coffer.tokens"
PASSED = "coffer.passed"
ASKED = (
    *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "wsgi.url_scheme"),
    *("HTTP_X_AUTH_TOKEN", "HTTP_X_SERVICE_TOKEN"),
)
"""All that the middleware sees of a request.  What a client says of its identity is neither believed nor passed on."""


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """For oslo-config-generator (etc/coffer.conf): the middleware's options and those of a login by password, with our defaults."""
    [(_, options)] = auth_token.list_opts()
    cfg.set_defaults(options, **DEFAULTS)
    login = {option.dest: option for option in _login_options()}
    return [(GROUP, [*options, *(login[name] for name in CREDENTIALS)])]


def register(conf: cfg.ConfigOpts) -> None:
    """[keystone_authtoken], where [service_credentials] gives what it does not say."""
    [(_, options)] = auth_token.list_opts()
    conf.register_opts(options, GROUP)
    ours, service = conf[GROUP], conf.service_credentials
    _set_defaults(conf, **DEFAULTS)
    if not ours.auth_type and not ours.auth_section:
        conf.register_opts(_login_options(), GROUP)
        _set_defaults(conf, auth_type="password", **{name: service[name] for name in CREDENTIALS})
        _set_defaults(conf, cafile=service.cacert or None, insecure=service.insecure)
        _set_defaults(conf, interface=service.interface, region_name=service.region_name or None)
    _set_defaults(conf, www_authenticate_uri=service.auth_url)


class KeystoneTokens:
    """Answers are kept for `token_cache_time` seconds, in memcached or else in this process: so long may a revoked token live on."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        register(conf)
        self._uri = str(conf[GROUP].www_authenticate_uri)
        self._cache = None if conf[GROUP].memcached_servers else Cache()
        self._gates = {prefix: self._gate(conf, service_type) for prefix, service_type in SERVICE_TYPES.items()}

    def identity_url(self) -> str:
        return self._uri

    def check(self, environ: Mapping[str, Any]) -> Grant | None:
        if not environ.get("HTTP_X_AUTH_TOKEN"):
            return None
        asked = {name: environ[name] for name in ASKED if name in environ}
        passed: dict[str, Any] = {}
        status = self._ask(asked | {CACHE: self._cache, PASSED: passed})
        if passed:
            return _grant(passed)
        if status == "401":
            return None
        raise _unavailable()

    def _ask(self, environ: dict[str, Any]) -> str:
        """Three digits: what the middleware answered, or what its application did."""
        answered: list[str] = []

        def start_response(status: str, _headers: Any, _exc_info: Any = None) -> None:
            answered.append(status[:3])

        gate = next(gate for prefix, gate in self._gates.items() if environ["PATH_INFO"].startswith(prefix))
        try:
            list(gate(environ, start_response))
        except ClientException as e:
            log.error("Keystone can't be asked", reason=type(e).__name__)
            raise _unavailable() from e
        except Exception as e:  # an answer that is not Keystone's, or a memcached that is away
            log.exception("a token could not be checked", reason=type(e).__name__)
            raise _unavailable() from e
        return answered[-1]

    def _gate(self, conf: cfg.ConfigOpts, service_type: str) -> auth_token.AuthProtocol:
        said = {"oslo_config_config": conf, "service_type": service_type, "delay_auth_decision": False}
        return auth_token.AuthProtocol(_note, said | ({"cache": CACHE} if self._cache else {}))


class Cache:
    """What keystonemiddleware keeps in memcached, for a deployment without; the least used goes first."""

    def __init__(self, most: int = 2000) -> None:
        self._most, self._lock = most, threading.Lock()
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        with self._lock:
            until, value = self._kept.get(key, (0.0, b""))
            if until <= clock.monotonic():
                self._kept.pop(key, None)
                return None
            self._kept.move_to_end(key)
            return value

    def set(self, key: str, value: bytes, time: float) -> None:
        """For `time` seconds; of none where that is negative."""
        with self._lock:
            self._kept[key] = clock.monotonic() + time, value
            self._kept.move_to_end(key)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)


def _note(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """The application behind the middleware: notes whom it has let pass."""
    environ[PASSED].update({name: value for name, value in environ.items() if name.startswith("HTTP_")})
    start_response("204 No Content", [])
    return []


def _grant(passed: Mapping[str, Any]) -> Grant:
    def said(name: str) -> str:
        return passed.get(f"HTTP_{name}") or ""

    roles = tuple(role for role in said("X_ROLES").split(",") if role)
    return Grant(said("X_USER_ID"), said("X_PROJECT_ID"), roles, system=said("OPENSTACK_SYSTEM_SCOPE") == "all")


def _login_options() -> list[cfg.Opt]:
    return list(loading.get_auth_plugin_conf_options("password"))


def _set_defaults(conf: cfg.ConfigOpts, **values: Any) -> None:
    for name, value in values.items():
        conf.set_default(name, value, GROUP)


def _unavailable() -> ServiceUnavailable:
    return ServiceUnavailable("Keystone can't be asked about the token. Try again later.", RETRY_SOON)
