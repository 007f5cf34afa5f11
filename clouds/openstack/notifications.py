"""Notifications of Nova and Cinder, from the RabbitMQ they send them to: whoever waits for a server or a volume is told of it.

They are hints.  Each worker has a queue of its own, which ends with its connection and takes nothing from others' queues: what is sent
while nobody listens is lost, and what anybody may have forged makes nothing happen but a look.
"""

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import amqp.exceptions
import kombu
import structlog
from kombu.exceptions import KombuError

from clouds.changes import Changes
from clouds.ports import CloudError

if TYPE_CHECKING:
    from oslo_config.cfg import ConfigOpts

log = structlog.get_logger("notifications")

SERVERS, VOLUMES = "server", "volume"
KINDS = {"instance.": SERVERS, "compute.instance.": SERVERS, "volume.": VOLUMES}
UNDER_WAY = {"building", "creating", "downloading"}
QUEUE_LIMITS = {"x-max-length": 10000, "x-message-ttl": 60000}
LONGEST_MESSAGE = 1 << 20
HEARTBEAT = 30.0
CONNECT_TIMEOUT = 5.0
LONGEST_PAUSE = 60.0
LOOK_FOR_EXCHANGES = 30.0
ENDS_WITHIN = 2.0
LONGEST_REASON = 200
UNHEARD = (OSError, KombuError, amqp.exceptions.AMQPError)


@dataclass(frozen=True)
class Source:
    """`transport_url`: as oslo.messaging has it."""

    transport_url: str = field(repr=False)
    exchanges: tuple[str, ...] = ("nova", "openstack")
    topics: tuple[str, ...] = ("notifications", "versioned_notifications")
    ssl: bool = False
    cacert: str = ""


def source_of(conf: "ConfigOpts") -> Source:
    told = conf.notifications
    return Source(told.transport_url, tuple(told.exchanges), tuple(told.topics), told.ssl, told.cacert)


class Listener:
    """A thread that hears notifications.  While it can't, it tries again; nobody depends on it."""

    def __init__(self, source: Source, changes: Mapping[str, Changes]) -> None:
        """`changes`: those of SERVERS and VOLUMES.  Raises ValueError for a URL that is none."""
        self._source, self._changes = source, changes
        self._urls = broker_urls(source.transport_url)
        self._stop = threading.Event()
        self.listens = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notifications", daemon=True)

    def __enter__(self) -> "Listener":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(ENDS_WITHIN)

    def missing(self) -> set[str]:
        """Exchanges that are not there, tried as a listener does, once.  Raises CloudError where nothing could be heard."""
        try:
            with self._connected() as connection, connection.channel() as channel:
                return self._bind(connection, _queue(channel), set(self._source.exchanges))
        except UNHEARD as error:
            raise CloudError(f"{type(error).__name__}: {error}"[:LONGEST_REASON], 503) from error

    def _run(self) -> None:
        pause = 1.0
        while not self._stop.is_set():
            try:
                self._hear()
            except UNHEARD as error:
                log.warning("notifications are not heard; polling", reason=f"{type(error).__name__}: {error}"[:LONGEST_REASON])
            except Exception as error:
                log.exception("notifications are not heard; polling", reason=type(error).__name__)
            pause = 1.0 if self.listens.is_set() else min(pause * 2, LONGEST_PAUSE)
            self.listens.clear()
            for changes in self._changes.values():
                changes.give_up()
            self._stop.wait(pause)

    def _hear(self) -> None:
        """Until told to stop.  Raises what the connection raises."""
        with self._connected() as connection, connection.channel() as channel:
            log.info("notifications are heard", broker=connection.as_uri())
            queue = _queue(channel)
            consumer = kombu.Consumer(
                channel,
                [kombu.Queue(queue, channel=channel, no_declare=True)],
                on_message=self._heard,
                no_ack=True,
                auto_declare=False,
            )
            with consumer:
                self._drain(connection, queue)

    def _drain(self, connection: Any, queue: str) -> None:
        missing = set(self._source.exchanges)
        look_in = 0.0
        while not self._stop.is_set():
            if missing and look_in <= 0:
                if missing := self._bind(connection, queue, missing):
                    log.warning("there are no such exchanges yet", exchanges=sorted(missing))
                look_in = LOOK_FOR_EXCHANGES
                self.listens.set()
            with contextlib.suppress(TimeoutError):
                connection.drain_events(timeout=1.0)
            connection.heartbeat_check()
            look_in -= 1.0

    def _bind(self, connection: Any, queue: str, exchanges: set[str]) -> set[str]:
        """Those that are not there: a service makes its exchange with its first message."""
        missing = set()
        for exchange in exchanges:
            try:
                with connection.channel() as channel:
                    for topic in self._source.topics:
                        channel.queue_bind(queue, exchange, f"{topic}.*")
            except amqp.exceptions.NotFound:
                missing.add(exchange)
        return missing

    def _heard(self, message: Any) -> None:
        body = message.body
        if told := subject(body.encode() if isinstance(body, str) else bytes(body)):
            kind, key = told
            self._changes[kind].tell(key)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Any]:
        options = {"ca_certs": self._source.cacert or None, "cert_reqs": ssl.CERT_REQUIRED} if self._source.ssl else None
        with kombu.Connection(self._urls, ssl=options, connect_timeout=CONNECT_TIMEOUT, heartbeat=HEARTBEAT) as connection:
            connection.ensure_connection(max_retries=len(self._urls), interval_start=0.1)
            yield connection


def _queue(channel: Any) -> str:
    """Nobody else's, and gone with the connection."""
    return str(channel.queue_declare("", exclusive=True, auto_delete=True, arguments=QUEUE_LIMITS).queue)


def broker_urls(transport_url: str) -> list[str]:
    """One for each host of oslo.messaging's rabbit://user:password@host:port,user:password@host:port/vhost.  Raises ValueError."""
    parts = urlsplit(transport_url)
    if parts.scheme not in ("rabbit", "amqp") or not parts.netloc:
        raise ValueError("[notifications] transport_url has to begin with rabbit:// and a host")
    return [f"amqp://{host}/{parts.path[1:] or '/'}" for host in parts.netloc.split(",") if host]


def subject(body: bytes) -> tuple[str, str] | None:
    """Kind and key of what a notification tells of: of Nova's, versioned or not, or Cinder's.  None for everything else."""
    if len(body) > LONGEST_MESSAGE:
        return None
    try:
        told = json.loads(body)
        if isinstance(told, dict) and isinstance(told.get("oslo.message"), str):
            told = json.loads(told["oslo.message"])
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not isinstance(told.get("payload"), dict) or not isinstance(told.get("event_type"), str):
        return None
    event, payload = told["event_type"], told["payload"]
    facts = payload.get("nova_object.data", payload)
    kind = next((kind for beginning, kind in KINDS.items() if event.startswith(beginning)), None)
    if kind is None or not isinstance(facts, dict) or not isinstance(key := facts.get("display_name"), str) or not key:
        return None
    # What begins, or is half done, is nothing that anybody waits for.
    half_done = event.endswith(".start") or bool(UNDER_WAY & {str(facts.get(name)) for name in ("state", "status")})
    return None if half_done else (kind, key)
