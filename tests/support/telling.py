"""A World whose guests report, to an API that may come up late and go away for a while."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from werkzeug.serving import make_server

from api.app import create_app
from messaging.values import Draft
from models import GuestTelemetry, OperationRow
from tests.support.world import Temporal, World, Zygote


class Telling(World):
    """Guests of it report to `port`, where `open` brings the API up.  No worker stays with a job: its end is waited for."""

    def __init__(self, temporal: Temporal, zygote: Zygote, url_lifetime: int = 3600, keyring_file: Path | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        options = (
            f"[guest]\njob_window = 0\n[telemetry]\nendpoint = http://127.0.0.1:{self.port}/messaging\n"
            f"period = 0.5\nsilent_after = 6\nurl_lifetime = {url_lifetime}\n"
        )
        super().__init__(temporal, zygote, keyring_file=keyring_file, options=options)

    @contextmanager
    def open(self) -> Iterator[None]:
        app = create_app(self.conf, database=self.database, operations=self.operations)
        server = make_server("127.0.0.1", self.port, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(10)
            server.server_close()

    def heard(self, instance_id: str) -> GuestTelemetry | None:
        with self.database.read() as s:
            return s.get(GuestTelemetry, instance_id)

    def say(self, instance_id: str, *bodies: Any) -> None:
        """Into the guest's queue, past its API."""
        self.messaging.messages.post(self.conf.telemetry.project, f"guest-{instance_id}", [Draft(b) for b in bodies], "test")

    def left_to_drain(self, instance_id: str) -> int:
        return self.messaging.queues.stats(self.conf.telemetry.project, f"guest-{instance_id}").total

    def signals(self, row: OperationRow) -> int:
        history = self.temporal.loop.run(self.handle(row).fetch_history())
        return sum(event.HasField("workflow_execution_signaled_event_attributes") for event in history.events)

    def kill_worker(self) -> None:
        os.kill(self._worker, signal.SIGKILL)
