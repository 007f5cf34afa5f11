"""Threads that go on: telemetry must neither end by a bug of its own nor take the agent with it."""

import logging
import threading
import traceback
from collections.abc import Callable

LOG = logging.getLogger(__name__)

PAUSE_AFTER_BUG = 5.0


def keep_doing(name: str, act: Callable[[], None]) -> None:
    """Run `act` again and again, in a thread of this name."""

    def run() -> None:
        while True:
            try:
                act()
            except Exception as error:  # noqa: BLE001 - a bug must be heard of, and the next report may not meet it
                # Neither the message nor local values are logged: either may hold a signature.
                where = "".join(traceback.format_tb(error.__traceback__))
                LOG.error("%s: %s\n%s", name, type(error).__name__, where)
                threading.Event().wait(PAUSE_AFTER_BUG)

    threading.Thread(target=run, name=name, daemon=True).start()
