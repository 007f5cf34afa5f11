"""The parts put together."""

import logging
import threading

from guest_agent import __version__
from guest_agent.datastores.base import Datastore
from guest_agent.jobs import Jobs
from guest_agent.settings import Settings
from guest_agent.telemetry import addresses
from guest_agent.telemetry.addresses import Destination
from guest_agent.telemetry.engine import EngineWatch
from guest_agent.telemetry.memory import Memory
from guest_agent.telemetry.outbox import Outbox
from guest_agent.telemetry.probe import Probe
from guest_agent.telemetry.reporter import Reporter, Wake
from guest_agent.telemetry.threads import keep_doing

LOG = logging.getLogger(__name__)


class Telemetry:
    """Three threads: one looks, one asks the engine, one posts. None of them is ever waited for by jobs or calls."""

    def __init__(self, settings: Settings, datastore: Datastore, jobs: Jobs, boot_id: str) -> None:
        self._settings, self._datastore, self._jobs, self._boot_id = settings, datastore, jobs, boot_id
        self._memory = Memory(settings.state_dir)
        destination = addresses.newer(self._memory.load_destination(), settings.telemetry)
        self._outbox = Outbox(self._memory, settings.instance_id, destination, settings.ca_file)
        self._wake = Wake()
        self._reporter: Reporter | None = None
        self._counting = threading.Lock()
        self._epoch = 0
        try:
            self._epoch = self._memory.count_start()
        except OSError as error:
            # A full disk, say. No report without a number of its own; calls are answered all the same.
            LOG.warning("telemetry: this start cannot be counted yet: %s", error.strerror)

    def start(self) -> None:
        """Begin to report, which needs a destination; an earlier agent's unposted report goes first."""
        self._outbox.put_kept(self._boot_id)
        self._outbox.start()
        keep_doing("telemetry", self._report)

    def configure(self, destination: Destination, epoch_above: int | None = None) -> dict[str, int]:
        """Post there from now on. Epoch and number of the last report that had been taken in before.

        `epoch_above`: what the control plane has heard of this guest, whose disk may have been another one then; reports go on above it."""
        epoch, number = self._outbox.posted or (self._epoch, 0)
        self._outbox.readdress(destination)
        if epoch_above is not None:
            self._count(epoch_above)
        self._wake()
        return {"epoch": epoch, "number": number}

    def _report(self) -> None:
        self._count()
        if not self._reporter:
            self._outbox.wait_for_destination()
            self._reporter = self._make_reporter()
        self._reporter.report_next()

    def _count(self, above: int = 0) -> None:
        with self._counting:
            if self._epoch <= above:
                self._epoch = self._memory.count_start(above)

    def _make_reporter(self) -> Reporter:
        probe = Probe(self._datastore, self._wake)
        about = {
            "instance_id": self._settings.instance_id,
            "agent": __version__,
            "boot_id": self._boot_id,
        }
        engine = EngineWatch(self._datastore, probe)
        reporter = Reporter(about, lambda: self._epoch, self._settings.data_dir, self._jobs, engine, self._outbox, self._wake)
        probe.start()
        self._jobs.listen(self._wake)
        return reporter
