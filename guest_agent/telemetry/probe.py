"""Asking the engine whether it answers, without ever waiting for it."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from guest_agent.datastores.base import Datastore
from guest_agent.errors import GuestError
from guest_agent.telemetry.threads import keep_doing

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """`version` is None if the engine did not answer, `root_enabled` also if it would not say."""

    asked: float
    version: str | None
    root_enabled: bool | None


class Probe:
    """One thread with one question at a time: an engine that hangs holds up this thread and nothing else."""

    def __init__(self, datastore: Datastore, on_answer: Callable[[], None]) -> None:
        self._datastore = datastore
        self._on_answer = on_answer
        self._changed = threading.Condition()
        self._asked: float | None = None
        self._answer: Answer | None = None

    def start(self) -> None:
        keep_doing("telemetry-probe", self._answer_one)

    @property
    def asked(self) -> float | None:
        """Since when (monotonic) a question is open; None if none is."""
        return self._asked

    def ask(self) -> None:
        """Nothing happens while a question is open."""
        with self._changed:
            if self._asked is None:
                self._asked = time.monotonic()
                self._changed.notify_all()

    def take(self) -> Answer | None:
        """The answer that has come since the last call."""
        with self._changed:
            answer, self._answer = self._answer, None
        return answer

    def _answer_one(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._asked is not None)
            asked = self._asked or 0.0
        version = root_enabled = None
        try:
            version = self._datastore.query_version()
            root_enabled = self._datastore.root_enabled()
        except GuestError as error:
            LOG.debug("the engine was asked: %s", error)
        finally:
            # Whatever came of it: a question that stays open is never asked again.
            with self._changed:
                self._asked, self._answer = None, Answer(asked, version, root_enabled)
            self._on_answer()
