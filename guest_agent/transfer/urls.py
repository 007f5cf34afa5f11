"""The temporary URLs that this agent holds: in memory only, as they are secrets, and of the job that runs now.

A job that is run again after a crash has none, and waits until it is granted some.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

from guest_agent.errors import TransferFailed

DOWNLOAD = 0
"""In place of a segment's number: the URL that the whole object is read by."""


class Urls:
    """Transfers run one at a time.  What is granted to another than the one that runs is dropped: it is granted again."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._transfer = ""
        self._known: dict[int, str] = {}
        self._sent = 0

    def begin(self, transfer: str) -> None:
        with self._changed:
            self._transfer, self._known, self._sent = transfer, {}, 0

    def end(self) -> None:
        self.begin("")

    def grant(self, transfer: str, first: int, urls: Sequence[str], download: str | None) -> dict[str, Any]:
        """Holds these, in place of what was there under the same numbers.

        How far the transfer is: `{"sent", "granted", "download"}`, the last segment that is there, the last that it has URLs to, and whether it
        has the object's.
        """
        with self._changed:
            if transfer != self._transfer:
                return {"sent": 0, "granted": 0, "download": False}
            self._known.update(enumerate(urls, first))
            if download:
                self._known[DOWNLOAD] = download
            self._changed.notify_all()
            reach = self._sent
            while reach + 1 in self._known:
                reach += 1
            return {"sent": self._sent, "granted": reach, "download": DOWNLOAD in self._known}

    def sent(self, number: int) -> None:
        with self._changed:
            self._sent = number
            self._known.pop(number, None)

    def wait(self, number: int, until: float) -> str:
        """The URL of this segment.  Raises TransferFailed when none has come by then (time.monotonic())."""
        with self._changed:
            self._changed.wait_for(lambda: number in self._known, max(0.0, until - time.monotonic()))
            if number not in self._known:
                raise TransferFailed(f"The control plane has granted no URL for part {number} in time.")
            return self._known[number]

    def refused(self, number: int, url: str) -> None:
        """It does not hold any more: another one is to be waited for."""
        with self._changed:
            if self._known.get(number) == url:
                del self._known[number]
