"""Word of servers and volumes, from the services of a real OpenStack through its RabbitMQ; and what is left when none comes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import kombu
import pytest

from clouds.changes import Changes
from clouds.openstack.notifications import SERVERS, VOLUMES, Listener, Source
from clouds.ports import CloudError, Volumes, WantVolume
from tests.support.local_guest import eventually
from tests.support.testbed import Bed
from tests.unit.clouds.test_notifications import UNVERSIONED, enveloped

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(180)]


class Heard:
    def __init__(self, transport_url: str) -> None:
        self.changes = {SERVERS: Changes(), VOLUMES: Changes()}
        self.listener = Listener(Source(transport_url), self.changes)


@contextmanager
def listening(transport_url: str) -> Iterator[Heard]:
    heard = Heard(transport_url)
    with heard.listener:
        yield heard


class Relay:
    """A way to the broker that can be cut."""

    def __init__(self, transport_url: str) -> None:
        there = urlsplit(transport_url)
        self._there = (there.hostname or "", there.port or 0)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.url = transport_url.replace(f"{there.hostname}:{there.port}", f"127.0.0.1:{self._server.getsockname()[1]}")
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._server.accept()
                there = socket.create_connection(self._there)
                self._open += [here, there]
                for source, sink in ((here, there), (there, here)):
                    threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)

    def cut(self) -> None:
        opened, self._open = self._open, []
        for one in opened:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        self._server.close()
        self.cut()


def post(bed: Bed, body: bytes) -> None:
    """Anybody who reaches the broker can."""
    with kombu.Connection(bed.transport_url.replace("rabbit://", "amqp://") + "/") as connection:
        exchange = kombu.Exchange("nova", "topic", durable=False, no_declare=True)
        producer = connection.Producer(exchange=exchange, auto_declare=False)
        producer.publish(body, routing_key="notifications.info", content_type="application/json", content_encoding="utf-8")


def test_the_cloud_tells_of_a_volume_as_it_becomes_available(bed: Bed) -> None:
    volumes = bed.connect().volumes
    with listening(bed.transport_url) as heard:
        assert heard.listener.listens.wait(20)
        with heard.changes[VOLUMES].watch("coffer-told-volume") as watch:
            volumes.create_volume(WantVolume("coffer-told-volume", "told", 1))
            assert watch.wait(60)
        with heard.changes[VOLUMES].watch("coffer-told-volume") as watch:
            assert eventually(lambda: deleted(volumes, "coffer-told-volume"), 60)
            assert watch.wait(60)
        assert heard.changes[VOLUMES].trusted


def deleted(volumes: Volumes, key: str) -> bool:
    try:
        volumes.delete_volume(key)
    except CloudError:
        return False
    return True


def test_forged_and_broken_messages_make_a_look_at_most(bed: Bed) -> None:
    with listening(bed.transport_url) as heard, heard.changes[SERVERS].watch("coffer-1-server") as watch:
        assert heard.listener.listens.wait(20)
        for body in (b"\x00", b"[" * 100_000, b"null", enveloped({**UNVERSIONED, "payload": {"display_name": "foreign"}})):
            post(bed, body)
        assert not watch.wait(1)
        post(bed, enveloped(UNVERSIONED))
        assert watch.wait(20)
        assert len(heard.changes[SERVERS]) == 1


def test_a_broker_that_goes_away_is_polled_around_and_heard_again(bed: Bed) -> None:
    relay = Relay(bed.transport_url)
    try:
        with listening(relay.url) as heard, heard.changes[SERVERS].watch("coffer-1-server") as watch:
            assert heard.listener.listens.wait(20)
            post(bed, enveloped(UNVERSIONED))
            assert watch.wait(20)
            assert heard.changes[SERVERS].trusted
            relay.cut()
            assert eventually(lambda: not heard.changes[SERVERS].trusted, 20)
            assert heard.listener.listens.wait(20)
            watch.wait(0)
            post(bed, enveloped(UNVERSIONED))
            assert watch.wait(20)
    finally:
        relay.close()


def test_a_broker_that_never_answers_harms_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"rabbit://u:p@127.0.0.1:{nobody.getsockname()[1]}/"
    with listening(url) as heard:
        assert not heard.listener.listens.wait(1)
        assert not heard.changes[SERVERS].trusted
